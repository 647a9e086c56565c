# frozen_string_literal: true

require "fcntl"
require "socket"
require_relative "boot"
require_relative "wire"
require_relative "env"
require_relative "exchange"
require_relative "requests"
require_relative "responder"
require_relative "deliveries"
require_relative "control"
require_relative "closings"
require_relative "crew"
require_relative "backtraces"
require_relative "error_page"
require_relative "report"
require_relative "log_relay"
require_relative "offspring"
require_relative "out_of_band"
require_relative "accelerator"

module Serval
  # A worker with its app loaded: puts the parts together and runs until the front closes `requests`.
  class Runtime
    # What the REQUEST frames say of themselves (Wire::WHAT): those without flags, those with any.
    REQUESTS = Wire::REQUEST << 24
    PLAIN_REQUEST = REQUESTS | 0xffff
    LAST_REQUEST = REQUESTS | 0xffffff

    attr_reader :app, :requests, :responder, :deliveries, :closings, :error_page, :out_of_band

    # launcher: what blocks and plugins get as Puma's.
    def initialize(settings, app, blocks, launcher)
      @launcher = launcher
      @settings = settings
      @loaded = app
      @app = blocks.fiber_per_request? ? ->(env) { Fiber.new { app.call(env) }.resume } : app
      @blocks = blocks
      @requests = Requests.new(blocking(UNIXSocket.for_fd(Boot::REQUESTS)))
      @deliveries = Deliveries.new
      @closings = Closings.new
      @control = Control.new(UNIXSocket.for_fd(Boot::CONTROL), @deliveries, self)
      wake = [blocking(IO.for_fd(Boot::WAKE[0], "rb")), IO.for_fd(Boot::WAKE[1], "wb")]
      @crew = Crew.new(settings.threads, @requests, wake, blocks) { take }
      @env = Env.new(settings, rack: Rack.release)
      @responder = Responder.new(@requests, rack: Rack.release)
      @error_page = ErrorPage.new(details: settings.debug_pages?, handler: blocks.lowlevel_error_handler)
      @out_of_band = OutOfBand.new(blocks, collect: settings.out_of_band_gc?)
      @accelerator = Accelerator.new(settings.accelerator, settings.accelerator_directory) { accelerate }
      @errands = Queue.new
      @log_relay = LogRelay.new(blocks)
    end

    def run
      trap_term
      @accelerator.prepare
      @control.listen
      @crew.start
      @control.ready(facts)
      @accelerator.complete
      wait_for_the_end
      ClientSocket.await_closing(@settings.hijack_timeout)
      @blocks.run(:before_worker_shutdown, @settings.index) if @settings.cluster?
      @control.take_leave
      @log_relay.finish
      exit
    ensure
      @crew.dismiss
    end

    # Whether the request that asks is the only one, and there is something to do while no other runs.
    def rest?
      @out_of_band.due? && @crew.running.size == 1
    end

    def eager?
      @crew.eager?
    end

    # --- what the front asks ---

    def backtraces(id)
      Backtraces.report(@crew, id)
    end

    def report(what)
      Report.make(what) { |other| @crew.stats if other == "stats" }
    end

    def log(line)
      @log_relay.take(line)
    end

    def run_hook(name, *args)
      args = [@launcher] if name == "before_restart"
      @blocks.run(name.to_sym, *args)
    end

    def take_stats(text)
      @launcher.take_stats(text)
    end

    # Forks a mold, as soon as no request runs. socket: what it is to have as its control socket.
    def promote(id, socket, text)
      @errands << lambda do
        @control.answer(id) do
          @accelerator.await(5)
          @crew.stand_still { Offspring.fork(-> { make_way(socket) }) { become_mold(Settings.new(text, role: "mold")) } }
        end
        socket.close
      end
    end

    private

    def accelerate
      @reader = Accelerator::Reader.new(@requests, @env.accelerate, self, Exchange, StringIO)
      @requests.share_outbox(@responder.accelerate)
      @requests.accelerate
      @crew.accelerate
    end

    # The main thread waits, and forks when it is asked to: the thread that forks is the main one of the new process.
    def wait_for_the_end
      Thread.new do
        @crew.join
        @errands << nil
      end
      while (errand = @errands.pop)
        errand.call
      end
    end

    # This process was forked from a worker, and is to be a mold. Only this thread is left of it. The worker's descriptors, and
    # those of clients, are the other one's; the numbers come to mean something else.
    def make_way(socket)
      [@requests, @control, @crew, @deliveries].each(&:forget)
      ClientSocket.close_all
      Boot.make_way(socket)
    end

    def become_mold(settings)
      require_relative "foundry"
      trap("TERM", @apps_term || "DEFAULT")
      Boot.prepare(settings)
      Foundry.new(settings, @blocks, @loaded, UNIXSocket.for_fd(Boot::CONTROL)).reopen
    end

    # A thread that waits for one of these sits in read(2): a byte in the pipe wakes one sleeper, where poll(2) would
    # wake them all, and the leader needs one system call where it would need three.
    def blocking(io)
      io.fcntl(Fcntl::F_SETFL, io.fcntl(Fcntl::F_GETFL) & ~Fcntl::O_NONBLOCK)
      io
    end

    # Leaving is for the front to arrange. A handler that the app has set while it was loading still runs.
    def trap_term
      @apps_term = trap("TERM") do |number|
        @control.ask_to_retire
        @apps_term.call(number) if @apps_term.respond_to?(:call)
      end
    end

    # The next request from the front, nil at the end of file.
    def take
      while true
        while (found = @reader&.take) == false
          return unless @requests.fill
        end
        return found if found
        return unless (frame = @requests.next)

        what = frame.unpack1(Wire::WHAT)
        return exchange(what, frame) if what >= REQUESTS && what <= LAST_REQUEST

        define(frame) if what >> 24 == Wire::DEFINE
      end
    rescue KeyError => e
      # A shape the front never defined: the two don't understand each other, nothing after this can be trusted.
      Log.error(Failure.describe(e))
      exit!(1)
    end

    def exchange(what, frame)
      exchange = Exchange.new(self, Process.clock_gettime(Process::CLOCK_MONOTONIC))
      @env.build(what & 0xffff, frame, exchange)
      exchange.expect_body_file if what > PLAIN_REQUEST && (what >> 16).anybits?(Wire::BODY_FILE)
      exchange
    end

    def define(frame)
      _, _, _, shape, _, size = frame.unpack(Wire::PREFIX)
      @env.define(shape, frame.byteslice(Wire::PREFIX_SIZE, size))
    end

    def facts
      facts = { ruby: RUBY_VERSION, engine: RUBY_ENGINE, patchlevel: RUBY_PATCHLEVEL, rack: Rack.release, pid: Process.pid }
      facts[:rails] = Rails::VERSION::STRING if defined?(Rails::VERSION::STRING)
      facts
    end
  end
end
