# puma: none
# notices: daemonize tcp_mode worker_directory
daemonize
tcp_mode
worker_directory '/tmp'
