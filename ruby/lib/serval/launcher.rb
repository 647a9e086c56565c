# frozen_string_literal: true

module Serval
  # What plugins and hooks get where Puma gives its launcher. The work is done by the front, which hears of it on the
  # mold's control socket.
  class Launcher
    COMMANDS = %i[restart phased_restart refork stop halt].freeze
    PATIENCE = 5 # seconds

    # socket: the control socket, which somebody else reads.
    def initialize(socket)
      socket.autoclose = false # it is everybody's
      @socket = socket
      @stats = Queue.new
      @asking = Mutex.new
    end

    # Each returns at once; the front does it when it can.
    COMMANDS.each do |name|
      define_method(name) do
        say("D", name.to_s)
        true
      end
    end

    # As Puma's stats command, as a Hash; {} when the front does not answer. The main thread reads the answers, and so
    # cannot wait for one.
    def stats
      return {} if Thread.current == Thread.main

      @asking.synchronize do
        @stats.clear
        say("S", "")
        text = wait_for_stats or return {}
        require "json"
        JSON.parse(text, symbolize_names: true)
      end
    end

    # The main thread has read the answer.
    def take_stats(text)
      @stats << text
    end

    private

    # Ruby 2.7's queues know no time limit.
    def wait_for_stats
      deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + PATIENCE
      while @stats.empty?
        return if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline

        sleep 0.01
      end
      @stats.pop
    end

    def say(type, text)
      @socket.send([type, 0, text].pack("aNa*"), 0)
    end
  end
end
