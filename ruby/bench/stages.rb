# frozen_string_literal: true

# What each stage of a hello request costs in a worker, in nanoseconds of CPU and in objects: ruby ruby/bench/stages.rb
# [--yjit goes before the file]. docs/explanation/performance.md has the budget; hello.rb measures the whole worker.
require_relative "measure"
require_relative "../lib/serval/settings"
require_relative "../lib/serval/env"
require_relative "../lib/serval/exchange"
require_relative "../lib/serval/requests"
require_relative "../lib/serval/responder"

# As the front sends a request of wrk's.
ENTRIES = %w[
  REQUEST_METHOD=GET REQUEST_URI PATH_INFO QUERY_STRING= SERVER_PROTOCOL=HTTP/1.1 SERVER_NAME SERVER_PORT REMOTE_ADDR
  rack.url_scheme=http HTTP_HOST
].freeze
VALUES = %w[/ / 127.0.0.1 9292 127.0.0.1 127.0.0.1:9292].freeze
PER_READ = 4 # requests that a busy worker finds in a read

# Requests whose socket always has a few frames. What is written goes nowhere.
class Endless < Serval::Requests
  def initialize(frames)
    super(nil)
    @frames = frames
  end

  def read
    @data.replace(@frames)
  end

  def write(frame)
    frame
  end
end

# What an exchange asks of the worker's runtime.
Runtime = Struct.new(:app, :requests, :responder) do
  def rest?
    false
  end

  def eager?
    false
  end
end

def words(list)
  list.map { |word| "#{word}\0" }.join
end

# Objects that one call of the way makes.
def objects(way)
  way.call(1000)
  GC.disable
  before = GC.stat(:total_allocated_objects)
  way.call(1000)
  ((GC.stat(:total_allocated_objects) - before) / 1000.0).round(1)
ensure
  GC.enable
end

body = ["Hello, world!"].freeze
headers = { "content-type" => "text/plain", "content-length" => "13" }.freeze
hello = ->(_env) { [200, headers, ["Hello, world!"]] }
builder = Serval::Env.new(Serval::Settings.new("threads=5\nworkers=2\nversion=1"), rack: "2.2.0")
builder.define(1, words(ENTRIES))
frame = Serval::Wire.frame(Serval::Wire::REQUEST, 1, code: 1, head: words(VALUES))
endless = Endless.new(frame * PER_READ)
responder = Serval::Responder.new(endless, rack: "2.2.0")
runtime = Runtime.new(hello, endless, responder)
now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
exchange = Serval::Exchange.new(runtime, now)
builder.build(1, frame, exchange)

front, worker = UNIXSocket.pair
answers = Serval::Requests.new(worker)
answer = Serval::Wire.frame(Serval::Wire::RESPONSE, 1, code: 200, head: words(headers.to_a.flatten), body: "Hello, world!").freeze
read = String.new

ways = {
  "take a frame out of the read buffer" => ->(n) { n.times { endless.next } },
  "exchange and clock" => ->(n) { n.times { Serval::Exchange.new(runtime, Process.clock_gettime(Process::CLOCK_MONOTONIC)) } },
  "env" => ->(n) { n.times { builder.build(1, frame, exchange) } },
  "the app" => ->(n) { n.times { hello.call(exchange.env) } },
  "encode the response" => ->(n) { n.times { responder.respond(exchange, 200, headers, body) } },
  "run: the app, encode, what comes after" => ->(n) { n.times { exchange.run } },
  "write a frame, with its system call" => lambda { |n|
    (n / 100).times do
      100.times { answers.write(answer) }
      front.readpartial(65_536, read) # one for a hundred
    end
  }
}
nothing = Measure.best(->(n) { n.times {} }) # rubocop:disable Lint/EmptyBlock -- what a loop costs
ways.each { |name, way| puts format("%-42s %6.0f ns  %4.1f objects", name, Measure.best(way) - nothing, objects(way)) }
