# frozen_string_literal: true

module Serval
  # Lines of the front on their way to the app's log_formatter and custom_logger. A thread writes them: a slow logger must
  # not hold up what else the front has to say.
  class LogRelay
    MOST = 10_000 # lines that may wait; more are written as they are

    def initialize(blocks)
      @blocks = blocks
      @lines = Queue.new
    end

    def take(line)
      return $stdout.write(line) if @lines.size >= MOST

      @lines << line
      @thread ||= Thread.new { write }.tap { |thread| thread.name = "serval log" }
    end

    # Writes what is left, for as long as the process has time: the front kills one that stays.
    def finish
      @lines << nil
      @thread&.join
    end

    private

    def write
      while (line = @lines.pop)
        @blocks.log(line)
      end
    end
  end
end
