# Unicorn takes its number of workers from a file only.
# frozen_string_literal: true

worker_processes Integer(ENV.fetch("UNICORN_WORKERS"))
