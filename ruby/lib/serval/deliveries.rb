# frozen_string_literal: true

module Serval
  # Where what the control socket brings (a body file, a client's socket) meets the thread that needs it. Either may
  # come first.
  class Deliveries
    PATIENCE = 10 # seconds

    def initialize
      @mutex = Mutex.new
      @arrived = ConditionVariable.new
      @waiting = {}
      @missed = {}
    end

    # A delivery nobody waits for any more is closed: a client must not hang on a forgotten socket.
    def put(id, io, text)
      @mutex.synchronize do
        next io&.close if @missed.delete(id)

        @waiting[id] = [io, text]
        @arrived.broadcast
      end
    end

    # [io, text] for request +id+. Raises IOError when nothing came in time.
    def take(id, patience: PATIENCE)
      deadline = clock + patience
      @mutex.synchronize do
        until @waiting.key?(id)
          left = deadline - clock
          give_up(id, patience) unless left.positive?
          @arrived.wait(@mutex, left)
        end
        @waiting.delete(id)
      end
    end

    # What has arrived is another process's from now on.
    def forget
      @waiting.each_value { |io,| io&.close }
      @waiting.clear
    end

    private

    def give_up(id, patience)
      @missed[id] = true
      raise IOError, "the front sent no descriptor for request #{id} within #{patience} seconds"
    end

    def clock
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end
  end
end
