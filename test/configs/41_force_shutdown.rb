# serval: shutdown-timeout=7
force_shutdown_after 7
