set_remote_address header: 'X-Real-IP'
