ssl_bind '0.0.0.0', '3443', {
  cert: '/etc/a certificate/äö.crt',
  key: '/etc/a+b/a.key',
  ssl_cipher_filter: 'ECDHE-RSA-AES256-GCM-SHA384:!aNULL',
  verify_mode: 'force_peer',
  ca: '/etc/ca.pem',
  no_tlsv1: true,
  verification_flags: %w[PARTIAL_CHAIN TRUSTED_FIRST],
  backlog: 64
}
ssl_bind '127.0.0.1', 3444, cert: 'b.crt', key: 'b.key', verify_mode: :peer, ca: 'ca.pem', no_tlsv1_1: true
ssl_bind '127.0.0.1', 3445
