# frozen_string_literal: true

# CPU a worker spends on a request to a hello app, all of it: ruby ruby/bench/hello.rb [threads] [requests in flight]
# RUBY_FLAGS="--yjit" goes to the worker. SERVAL_ACCELERATOR=on for the path in C.
require "etc"
require_relative "../test/support/front"
require_relative "../test/support/frame"

THREADS = Integer(ARGV[0] || 1)
IN_FLIGHT = Integer(ARGV[1] || 16)
TOTAL = 100_000
ENTRIES = %w[
  REQUEST_METHOD=GET SERVER_PROTOCOL=HTTP/1.1 rack.url_scheme=http SERVER_NAME=localhost SERVER_PORT=9292
  REMOTE_ADDR PATH_INFO REQUEST_URI QUERY_STRING HTTP_HOST HTTP_USER_AGENT HTTP_ACCEPT
].freeze
VALUES = %w[127.0.0.1 /hello /hello?a=1 a=1 localhost:9292 curl/8.0 */*].freeze

def words(list)
  list.map { |word| "#{word}\0" }.join
end

# User and system seconds of a process, from /proc.
def cpu(pid)
  File.read("/proc/#{pid}/stat").split.values_at(13, 14).map { |ticks| ticks.to_f / Etc.sysconf(Etc::SC_CLK_TCK) }
end

APP = 'run ->(env) { [200, { "content-type" => "text/plain" }, ["Hello\n"]] }'
front = Front.ready(app: APP, threads: THREADS, ruby: ENV["RUBY_FLAGS"].to_s.split)
begin
  front.send_bytes(Frame.bytes(:define, 0, code: 1, head: words(ENTRIES)))
  one = Frame.bytes(:request, 7, code: 1, head: words(VALUES))
  front.send_bytes(one)
  # The front tells the worker nothing of the outbox that it may offer, so that all responses come here.
  length = nil
  buffer = String.new
  until length
    buffer << front.requests.readpartial(1000)
    while (frame = Frame.take(buffer))
      length = Frame.bytes(frame.name, 7, head: frame.head, body: frame.body).bytesize if frame.name == :response
    end
  end
  Array.new(3) do
    before = cpu(front.pid)
    start = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    (TOTAL / IN_FLIGHT).times do
      front.send_bytes(one * IN_FLIGHT)
      missing = IN_FLIGHT * length
      missing -= front.requests.readpartial(65_536, buffer).bytesize while missing.positive?
    end
    seconds = Process.clock_gettime(Process::CLOCK_MONOTONIC) - start
    user, system = cpu(front.pid).zip(before).map { |now, was| (now - was) * 1e6 / TOTAL }
    puts format("%.1f µs user, %.1f µs system a request, %d requests/s", user, system, TOTAL / seconds)
  end
ensure
  front.close
  FileUtils.rm_rf(Front::LIBRARIES)
end
