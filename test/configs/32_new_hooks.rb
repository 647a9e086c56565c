# puma: 8
# serval: hooks=before_fork before_worker_fork after_worker_fork before_worker_boot before_worker_boot before_worker_shutdown after_worker_shutdown before_refork after_refork before_thread_start before_thread_exit before_restart after_booted after_stopped
before_fork { }
before_worker_fork { |index| index }
after_worker_fork { |index| index }
before_worker_boot { |index| index }
before_worker_boot(:key) { |index, shared| shared[:index] = index }
before_worker_shutdown { |index| index }
after_worker_shutdown { |handle| handle.pid }
before_refork { }
after_refork { }
before_thread_start { }
before_thread_exit { }
before_restart { }
after_booted { }
after_stopped { }
