# Pitchfork takes its number of workers from a file only. And it looks for the length of a response under the name that Rack has
# for the header: with the capitals of Rack 2 it finds none in small letters, and would send those in chunks with a length beside.
# frozen_string_literal: true

worker_processes Integer(ENV.fetch("PITCHFORK_WORKERS"))

Rack.__send__(:remove_const, :CONTENT_LENGTH)
Rack.const_set(:CONTENT_LENGTH, "content-length")
