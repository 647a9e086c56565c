# frozen_string_literal: true

require_relative "failure"

module Serval
  # Answers to what the front asks a worker or a mold about itself: JSON with the fields of Puma's control server.
  module Report
    module_function

    # what: "gc", "gc-stats", "backtraces"; others are for the block to know.
    def make(what)
      require "json" # not before somebody asks: the bundle may have one of its own, and most never ask
      case what
      when "gc" then collect_garbage
      when "gc-stats" then JSON.generate(GC.stat)
      when "backtraces" then JSON.generate(threads)
      else JSON.generate((yield what if block_given?) || raise(ArgumentError, "nothing is known about #{what.inspect}"))
      end
    end

    def collect_garbage
      GC.start
      '{ "status": "ok" }'
    end

    def threads
      Thread.list.map do |thread|
        { name: title(thread), backtrace: (thread.backtrace || []).map { |line| Failure.utf8(line) } }
      end
    end

    # As text, for the log.
    def backtraces(threads = Thread.list)
      threads.map { |thread| backtrace(thread, title(thread)) }.join("\n")
    end

    def backtrace(thread, title)
      "#{title}\n#{(thread.backtrace || []).map { |line| "    #{Failure.utf8(line)}\n" }.join}"
    end

    def title(thread)
      thread.name || (thread == Thread.main ? "main" : "thread")
    end
  end
end
