ssl_bind '127.0.0.1', 3010, cert: 'a.crt', key: 'a.key', verify_mode: 'none'
