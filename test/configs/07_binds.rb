bind 'tcp://127.0.0.1:3002'
bind 'unix:///tmp/app.sock?umask=0117'
bind 'tcp://[::1]:3003?backlog=64'
