# puma: 8
# notices: max_io_threads
# serval: custom_logger=1
max_io_threads 5
fiber_per_request
silence_fork_callback_warning
custom_logger $stdout
plugin :systemd
activate_control_app 'tcp://127.0.0.1:9294', no_token: true, data_only: true
# serval: control-url=tcp://127.0.0.1:9294
# serval: control-token=none
# serval: control-data-only=true
