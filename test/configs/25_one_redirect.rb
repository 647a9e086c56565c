stdout_redirect nil, '/tmp/err.log'
