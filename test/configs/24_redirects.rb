stdout_redirect '/tmp/out.log', '/tmp/err.log', true
