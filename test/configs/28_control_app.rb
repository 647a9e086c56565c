activate_control_app 'tcp://127.0.0.1:9293', { auth_token: 'secret' }
