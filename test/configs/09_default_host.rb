set_default_host '127.0.0.2'
port 3005
bind "tcp://#{default_host}:3006"
