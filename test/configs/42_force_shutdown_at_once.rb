# serval: shutdown-timeout=0
workers 2
worker_shutdown_timeout 9
force_shutdown_after :immediately
