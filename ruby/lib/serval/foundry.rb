# frozen_string_literal: true

require_relative "boot"
require_relative "failure"
require_relative "log"
require_relative "offspring"
require_relative "report"
require_relative "as_puma"
require_relative "launcher"
require_relative "worker_handle"

module Serval
  # The life of a mold: it loads what its workers share, forks them when the front asks, and runs the blocks of the
  # configuration that are for the process which Puma calls the master.
  #
  # All is done by the main thread, one thing after the other, so that no fork falls into a hook.
  class Foundry
    PACKET = 65_536
    RIGHTS = 256 # bytes of ancillary data, room for a few descriptors

    # A mold that the front has started. Only one that preloads has the app; the others have the configuration alone.
    def self.start(settings)
      Boot.prepare(settings)
      blocks = Boot.reporting(settings) { Boot.set_up(settings) }
      require "socket"
      new(settings, blocks, nil, UNIXSocket.for_fd(Boot::CONTROL)).open
    end

    # app: nil when it is not loaded.
    def initialize(settings, blocks, app, socket)
      @settings = settings
      @blocks = blocks
      @app = app
      @socket = socket
      @launcher = Launcher.new(@socket)
    end

    # The first mold of a run. The order is Puma's.
    def open
      answer_as_puma
      @blocks.start_plugins(@launcher)
      @app = Boot.reporting(@settings) { load_app } if @settings.preload?
      answer_as_puma
      @blocks.run(:before_fork, nil)
      Boot.warm_up || GC.start
      work
    end

    # A mold that was a worker until now. It takes the place of the one before, plugins included.
    def reopen
      answer_as_puma
      @blocks.start_plugins(@launcher)
      @blocks.run(:before_refork, nil)
      Boot.warm_up || GC.start
      work
    end

    private

    def answer_as_puma
      AsPuma.answer(@launcher, AsPuma.options(@settings, @blocks, @settings.preload?))
    end

    # Threads do not survive a fork: an app that starts some while it loads may miss them in its workers.
    def load_app
      before = Thread.list
      app = Boot.load_app(@settings, @blocks)
      started = (Thread.list - before).reject { |thread| thread.thread_variable_get(:fork_safe) }
      started.each do |thread|
        Log.warn("the app started a thread while it was preloaded; workers will not have it: #{origin(thread)}")
      end
      app
    end

    def origin(thread)
      [thread.name, thread.backtrace&.first || thread.inspect].compact.join(", ")
    end

    def work
      # The front decides; who sends it to all processes of the service means the front.
      @apps_term = trap("TERM") {}
      require_relative "runtime" if @app
      say("R", 0, { ruby: RUBY_VERSION, pid: Process.pid }.map { |key, value| "#{key}=#{value}\0" }.join)
      receive while true
    end

    def receive
      packet, _, _, *ancillary = @socket.recvmsg(PACKET, 0, RIGHTS, scm_rights: true)
      exit!(1) if packet.nil? || packet.empty? # the front is gone

      type, id, text = packet.unpack("aNa*")
      handle(type, id, text, ancillary.map { |data| data.unix_rights }.compact.flatten)
    rescue Errno::ECONNRESET
      exit!(1)
    end

    def handle(type, id, text, ios)
      case type
      when "w" then answer(id) { fork_worker(Settings.new(text), ios) }
      when "k" then answer(id) { run_hook(*text.split("\0")) }
      when "a" then answer(id) { Report.make(text) }
      when "b" then say("B", id, Report.backtraces)
      when "p" then say("P", id, "")
      when "l" then @blocks.log(text)
      when "s" then @launcher.take_stats(text)
      when "q" then exit
      end
    ensure
      ios.each(&:close)
    end

    def answer(id)
      say("A", id, yield.to_s)
    rescue StandardError, NotImplementedError, NoMemoryError => e
      say("X", id, Failure.headline(e))
    end

    def say(type, id, text)
      @socket.send([type, id, text.b.byteslice(0, Boot::LONGEST_TEXT)].pack("aNa*"), 0)
    rescue Errno::EPIPE, Errno::ECONNRESET
      exit!(1)
    end

    # The number of the new worker's process.
    def fork_worker(settings, ios)
      @blocks.run(:before_worker_fork, settings.index)
      pid = Offspring.fork(-> { Boot.place(ios) }) { become_worker(settings) }
      @blocks.run(:after_worker_fork, settings.index)
      pid
    end

    # The mold's own socket has gone: the worker's took its number.
    def become_worker(settings)
      trap("TERM", @apps_term || "DEFAULT")
      Boot.prepare(settings)
      Boot.serve(settings, @blocks, @app)
    end

    def run_hook(name, *args)
      case name
      when "after_worker_shutdown" then @blocks.run(:after_worker_shutdown, WorkerHandle.parse(args))
      when "before_restart" then @blocks.run(:before_restart, @launcher)
      when "after_refork" then @blocks.run(:after_refork, nil)
      else @blocks.run(name.to_sym, *args)
      end
    end
  end
end
