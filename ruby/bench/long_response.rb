# frozen_string_literal: true

# What a response of 100 KB costs a worker, and whoever reads it: in Ruby, which writes its head and then its body, and in C, which
# writes both at once: ruby ruby/bench/long_response.rb
require "tmpdir"
require_relative "measure"
require_relative "../lib/serval/accelerator"
require_relative "../lib/serval/requests"
require_relative "../lib/serval/responder"

# What a responder asks of an exchange.
Answer = Struct.new(:id, :last_flags)

HEADERS = { "content-type" => "text/plain", "content-length" => "100000" }.freeze
BODY = ["x" * 100_000].freeze

# The reader has read all before the next response is written, as a front that is not busy.
def way(in_c)
  front, worker = UNIXSocket.pair
  worker.setsockopt(:SOCKET, :SNDBUF, 1 << 20) # as the front sets it
  responder = Serval::Responder.new(Serval::Requests.new(worker), rack: "2.2.0")
  responder.accelerate if in_c
  answer = Answer.new(1, 0)
  read = String.new
  lambda do |n|
    (n / 10).times do
      responder.respond(answer, 200, HEADERS, BODY)
      got = 0
      got += front.readpartial(262_144, read).bytesize until got > 100_000
    end
  end
end

Dir.mktmpdir do |directory|
  library = Serval::Accelerator::Library.new(directory)
  library.build
  library.load
  Measure.compare("a tenth of a response of 100 KB, with its reader", "Ruby: head, then body" => way(false), "C: both at once" => way(true))
end
