bind_to_activated_sockets 'only'
