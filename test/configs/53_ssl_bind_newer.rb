# puma: 8
# serval: bind=ssl://127.0.0.1:3443?cert=a.crt&key=a.key&key_password_command=cat+secret&ssl_ciphersuites=TLS_AES_128_GCM_SHA256&reuse=20480,600&verify_mode=none&low_latency=true,ssl://127.0.0.1:3444?cert=a.crt&key=a.key&reuse=dflt&verify_mode=none
# notices: keystore:
ssl_bind '127.0.0.1', 3443, cert: 'a.crt', key: 'a.key', key_password_command: 'cat secret',
                            ssl_ciphersuites: 'TLS_AES_128_GCM_SHA256', reuse: { size: 20480, timeout: 600 },
                            low_latency: true, keystore: 'x.jks'
ssl_bind '127.0.0.1', 3444, cert: 'a.crt', key: 'a.key', reuse: true
