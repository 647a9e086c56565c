activate_control_app 'unix:///tmp/ctl.sock', { no_token: true, umask: 0o077 }
