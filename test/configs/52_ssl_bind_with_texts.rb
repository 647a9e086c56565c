ssl_bind '127.0.0.1', 3443, cert_pem: "-----BEGIN CERTIFICATE-----\n", key_pem: "-----BEGIN PRIVATE KEY-----\n"
ssl_bind '127.0.0.1', 3444, cert_pem: 'another', key: 'b.key'
