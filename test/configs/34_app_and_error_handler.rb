app { |env| [200, {}, [env['PATH_INFO']]] }
lowlevel_error_handler { |error, env, status| [status, {}, [error.message]] }
