# frozen_string_literal: true

module Serval
  # Closes bodies, and knows whether that has been quick of late.
  #
  # While a body's `close` runs, its response is sent already and its thread still busy. To tell the front so takes a
  # frame more, FREE, and to the front that is one more wake-up for each request of a Rails app, whose bodies all have
  # a `close`. As long as closing is quick, the thread is given for free a moment early instead: the next request
  # arrives no sooner than it can be taken. Should a close take its time after all, the front's poke wakes another
  # thread for what waits, and the following bodies are announced again.
  class Closings
    QUICK = 0.0005 # seconds
    WARY = 64 # closings that have to be quick in a row

    def initialize
      @wary = WARY
    end

    # Whether the front should be told when a close is over.
    def wary?
      @wary.positive?
    end

    def close(body)
      started = clock
      body.close
    ensure
      note(clock - started)
    end

    private

    def note(seconds)
      if seconds > QUICK then @wary = WARY
      elsif wary? then @wary -= 1
      end
    end

    def clock
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end
  end
end
