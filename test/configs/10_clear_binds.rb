bind 'tcp://127.0.0.1:3007'
port 3008, '127.0.0.1'
clear_binds!
bind 'tcp://127.0.0.1:3009'
