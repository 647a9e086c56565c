# same: ssl_bind may write its parameters in another order
# serval: bind=ssl://127.0.0.1:3010?cert=a.crt&key=a.key&verify_mode=none
ssl_bind '127.0.0.1', 3010, cert: 'a.crt', key: 'a.key', verify_mode: 'none'
