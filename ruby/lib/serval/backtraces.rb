# frozen_string_literal: true

require_relative "report"

module Serval
  # What the threads of a worker are doing, for the log of a front that lost patience with one.
  module Backtraces
    module_function

    # The thread that runs request +id+; with 0 all of the process.
    def report(crew, id)
      running = crew.running(id)
      return running.map { |member| of_member(member) }.join("\n") unless id.zero?

      others = Report.backtraces(Thread.list - running.map(&:thread))
      (running.map { |member| of_member(member) } << others).join("\n")
    end

    def of_member(member)
      exchange = member.exchange or return "" # it has just finished
      seconds = Process.clock_gettime(Process::CLOCK_MONOTONIC) - exchange.since
      Report.backtrace(member.thread, format("%s, %s, running for %.3f s", member.thread.name, exchange.title, seconds))
    end
  end
end
