# frozen_string_literal: true

require "fcntl"
require "socket"
require "stringio"
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

module Serval
  # A worker with its app loaded: puts the parts together and runs until the front closes `requests`.
  class Runtime
    attr_reader :app, :requests, :responder, :deliveries, :closings, :error_page

    def initialize(settings, app)
      @app = app
      @requests = Requests.new(blocking(UNIXSocket.for_fd(Boot::REQUESTS)))
      @deliveries = Deliveries.new
      @closings = Closings.new
      @control = Control.new(UNIXSocket.for_fd(Boot::CONTROL), @deliveries) { |id| Backtraces.report(@crew, id) }
      wake = [blocking(IO.for_fd(Boot::WAKE[0], "rb")), IO.for_fd(Boot::WAKE[1], "wb")]
      @crew = Crew.new(settings.threads, @requests, wake) { take }
      @env = Env.new(settings, rack: Rack.release)
      @responder = Responder.new(@requests, rack: Rack.release)
      @error_page = ErrorPage.new(details: settings.debug_pages?)
    end

    def run
      Process.warmup if Process.respond_to?(:warmup) # Ruby 3.3
      trap_term
      @control.listen
      @crew.start
      @control.ready(facts)
      @crew.join
      exit
    ensure
      @crew.dismiss
    end

    private

    # A thread that waits for one of these sits in read(2): a byte in the pipe wakes one sleeper, where poll(2) would
    # wake them all, and the leader needs one system call where it would need three.
    def blocking(io)
      io.fcntl(Fcntl::F_SETFL, io.fcntl(Fcntl::F_GETFL) & ~Fcntl::O_NONBLOCK)
      io
    end

    # Leaving is for the front to arrange. A handler that the app has set while it was loading still runs.
    def trap_term
      previous = trap("TERM") do |number|
        @control.ask_to_retire
        previous.call(number) if previous.respond_to?(:call)
      end
    end

    # The next request from the front, nil at the end of file.
    def take
      while (frame = @requests.next)
        _, type, flags, code, id, size = frame.unpack(Wire::PREFIX)
        case type
        when Wire::REQUEST then return exchange(flags, code, id, size, frame)
        when Wire::DEFINE then @env.define(code, frame.byteslice(Wire::PREFIX_SIZE, size))
        end
      end
    rescue KeyError => e
      # A shape the front never defined: the two don't understand each other, nothing after this can be trusted.
      Log.error(Failure.describe(e))
      exit!(1)
    end

    def exchange(flags, shape, id, size, frame)
      exchange = Exchange.new(id, self, Process.clock_gettime(Process::CLOCK_MONOTONIC))
      env = exchange.env = @env.build(shape, frame, size, exchange)
      body = Wire::PREFIX_SIZE + size
      if frame.bytesize > body
        env["rack.input"] = StringIO.new(frame.byteslice(body..-1))
      elsif flags.anybits?(Wire::BODY_FILE)
        exchange.expect_body_file
      end
      exchange
    end

    def facts
      facts = { ruby: RUBY_VERSION, rack: Rack.release, pid: Process.pid }
      facts[:rails] = Rails::VERSION::STRING if defined?(Rails::VERSION::STRING)
      facts
    end
  end
end
