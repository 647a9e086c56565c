# frozen_string_literal: true

# The least that a request costs in Ruby: the env is built, the app called, the body read. No socket, no server.
# Usage: ruby loop.rb APP.ru WARMUP SECONDS
# Prints how often the app was called in SECONDS, and the nanoseconds of CPU time that took, garbage collection included.

require "rack"
require "stringio"

RubyVM::YJIT.enable if defined?(RubyVM::YJIT) && RubyVM::YJIT.respond_to?(:enable)

file, warmup, seconds = ARGV
abort "usage: ruby loop.rb APP.ru WARMUP SECONDS" unless seconds

app = Rack::Builder.parse_file(file)
app = app.first if app.is_a?(Array) # Rack 2 has options behind it
input = StringIO.new.freeze

# What comes with a request is a string of its own in each env, as an app may change it in place; what is always the same is frozen.
serve = lambda do
  env = {
    "REQUEST_METHOD" => "GET", "SCRIPT_NAME" => "", "PATH_INFO" => +"/", "QUERY_STRING" => +"", "REQUEST_URI" => +"/",
    "SERVER_NAME" => +"127.0.0.1", "SERVER_PORT" => +"9292", "SERVER_PROTOCOL" => "HTTP/1.1", "SERVER_SOFTWARE" => "loop",
    "HTTP_HOST" => +"127.0.0.1:9292", "REMOTE_ADDR" => +"127.0.0.1",
    "rack.version" => [1, 6].freeze, "rack.url_scheme" => "http", "rack.input" => input, "rack.errors" => $stderr,
    "rack.multithread" => true, "rack.multiprocess" => true, "rack.run_once" => false
  }
  _status, headers, body = app.call(env)
  headers.each { |_name, _value| nil }
  body.each { |_part| nil }
  body.close if body.respond_to?(:close)
end

# Returns how often it was called. The clock is asked after every thousand.
call_for = lambda do |time|
  count = 0
  ends = Process.clock_gettime(Process::CLOCK_MONOTONIC) + time
  while Process.clock_gettime(Process::CLOCK_MONOTONIC) < ends
    1000.times { serve.call }
    count += 1000
  end
  count
end

call_for.call(Float(warmup))
before = Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID, :nanosecond)
count = call_for.call(Float(seconds))
puts "#{count} #{Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID, :nanosecond) - before}"
