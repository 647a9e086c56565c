# puma: 8
# serval: hooks=before_thread_start before_thread_exit after_booted after_stopped
on_thread_start { }
on_thread_exit { }
on_booted { }
on_stopped { }
