# serval: shutdown-timeout=20
workers 2
worker_shutdown_timeout 20
force_shutdown_after :forever
