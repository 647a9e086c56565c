# frozen_string_literal: true

# How frames are best taken out of the read buffer, and written: ruby ruby/bench/requests.rb
require_relative "measure"
require_relative "../lib/serval/requests"

FRAME = Serval::Wire.frame(Serval::Wire::REQUEST, 1, code: 1, head: "127.0.0.1\0/hello\0/hello?a=1\0a=1\0localhost:9292\0").freeze

# As a plain reader has it: every frame is a slice, and the last one shares the buffer's memory.
class Slicing < Serval::Requests
  def last(length)
    frame = @data.byteslice(@at, length)
    @at += length
    frame
  end
end

# Writes frames and takes them, +count+ at a time.
def way(reader, count)
  front, worker = UNIXSocket.pair
  requests = reader.new(worker)
  lambda do |n|
    (n / count).times do
      front.write(FRAME * count)
      count.times { requests.next }
    end
  end
end

[1, 4, 16].each do |count|
  Measure.compare("a frame of a read with #{count}, its write included",
                  "the last one is the buffer itself" => way(Serval::Requests, count), "slices" => way(Slicing, count))
end

mutex = Mutex.new
nothing = -> {}
Measure.compare("a lock that nobody else wants",
                "lock, ensure unlock" => lambda do |n|
                  n.times do
                    mutex.lock
                    begin
                      nothing.call
                    ensure
                      mutex.unlock
                    end
                  end
                end,
                "synchronize" => ->(n) { n.times { mutex.synchronize { nothing.call } } },
                "no lock" => ->(n) { n.times { nothing.call } })
