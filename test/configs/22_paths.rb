pidfile 'tmp/pids/puma.pid'
state_path 'tmp/puma.state'
state_permission 0640
rackup 'web.ru'
rackup 'other.ru'
