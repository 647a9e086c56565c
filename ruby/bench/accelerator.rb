# frozen_string_literal: true

# What C does faster than its twin in Ruby: ruby ruby/bench/accelerator.rb
require "tmpdir"
require_relative "measure"
require_relative "../lib/serval/settings"
require_relative "../lib/serval/runtime"

include Serval # rubocop:disable Style/MixinUsage
ENTRIES = %w[
  REQUEST_METHOD=GET SERVER_PROTOCOL=HTTP/1.1 rack.url_scheme=http SERVER_NAME=localhost SERVER_PORT=9292 REMOTE_ADDR=127.0.0.1
  PATH_INFO REQUEST_URI QUERY_STRING HTTP_HOST=localhost:9292
].freeze
BATCH = 16

def words(list)
  list.map { |word| "#{word}\0" }.join
end

# Takes the part of the runtime that is not measured.
class Idle
  def wary?
    false
  end
  alias rest? wary?
  alias eager? wary?

  def closings
    self
  end
end

def env_of(accelerated)
  Env.new(Settings.new("threads=5\nversion=1"), rack: "2.2.0").tap do |env|
    env.define(1, words(ENTRIES))
    env.accelerate if accelerated
  end
end

# Writes requests, takes them.
def taking(accelerated)
  front, worker = UNIXSocket.pair
  requests = Requests.new(worker)
  env = env_of(accelerated)
  reader = Accelerator::Reader.new(requests, env.accelerate, Idle.new, Exchange, StringIO) if accelerated
  batch = Wire.frame(Wire::REQUEST, 1, code: 1, head: words(["/hello", "/hello", ""])) * BATCH
  take = accelerated ? -> { reader.take || (requests.fill && reader.take) } : -> { take_in_ruby(requests, env) }
  lambda do |n|
    (n / BATCH).times do
      front.write_nonblock(batch)
      BATCH.times { take.call }
    end
  end
end

# As Runtime does.
def take_in_ruby(requests, env)
  frame = requests.next
  what = frame.unpack1(Wire::WHAT)
  exchange = Exchange.new(nil, Process.clock_gettime(Process::CLOCK_MONOTONIC))
  env.build(what & 0xffff, frame, exchange)
  exchange
end

# Writes responses, reads them.
def responding(accelerated)
  front, worker = UNIXSocket.pair
  responder = Responder.new(Requests.new(worker), rack: "2.2.0")
  responder.accelerate if accelerated
  exchange = Exchange.new(Idle.new, 0)
  env_of(false).build(1, Wire.frame(Wire::REQUEST, 1, code: 1, head: words(["/", "/", ""])), exchange)
  headers = { "content-type" => "text/plain" }
  body = ["Hello\n"]
  buffer = String.new
  lambda do |n|
    (n / BATCH).times do
      BATCH.times { responder.respond(exchange, 200, headers, body) }
      front.readpartial(65_536, buffer)
    end
  end
end

Dir.mktmpdir do |directory|
  library = Accelerator::Library.new(directory)
  library.build
  library.load
  Measure.compare("an exchange of a frame", "C" => taking(true), "Ruby" => taking(false))
  Measure.compare("a response, its write included", "C" => responding(true), "Ruby" => responding(false))
end
