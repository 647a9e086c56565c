# frozen_string_literal: true

require_relative "wire"
require_relative "headers"
require_relative "failure"
require_relative "log"
require_relative "client_socket"

module Serval
  # One request and its response, run by one thread. It is also the object behind env["rack.hijack"] and what
  # env["rack.early_hints"] calls, which saves an object each.
  class Exchange
    attr_reader :since
    attr_accessor :id, :env # set by Env

    # since: when the request was taken, in seconds of the monotonic clock.
    def initialize(runtime, since)
      @runtime = runtime
      @since = since
    end

    # The body of the request is in a file that comes on the control socket.
    def expect_body_file
      @body_file = true
    end

    def run
      receive_body if @body_file
      answer = @runtime.app.call(@env)
      if Array === answer && answer.size == 3
        @status, @headers, @body = answer
        @runtime.responder.respond(self, @status, @headers, @body) unless @hijacked
      elsif !@hijacked
        raise TypeError, "the app's answer is no array of status, headers and body but #{answer.class}"
      end
    rescue Exception => e # rubocop:disable Lint/RescueException -- a request that calls exit must not end the others
      failed(e)
      respond_with_error unless @answered || @hijacked
    ensure
      finish
    end

    # Full hijack, called by the app: the front forgets the connection and hands over its socket.
    def call
      return @env["rack.hijack_io"] if @hijacked
      raise IOError, "too late to hijack: the response is on its way" if @answered

      @hijacked = @busy = true
      Wire.uninterrupted { @runtime.requests.write(Wire.frame(Wire::HIJACK, @id)) }
      @env["rack.hijack_io"] = client_socket
    end

    # Early hints, called by the app with a Hash of headers.
    def hint(headers)
      return if @answered

      @hinted = true
      frame = Wire.frame(Wire::HINTS, @id, head: Headers.encode_with_care(headers))
      Wire.uninterrupted { @runtime.requests.write(frame) }
      nil
    end

    # Short on purpose: the default one would print the env, and with it the whole app, into every log of an env.
    def inspect
      "#<#{self.class} #{@id}>"
    end

    # The socket of a partial hijack, once the HEAD that asks for it is sent. Only FREE may follow.
    def take_over
      @answered = @busy = true
      client_socket
    end

    def head?
      @env["REQUEST_METHOD"] == "HEAD"
    end

    # Flags of the frame that ends the response: BUSY when work is left after it that may take a while, EAGER when the worker's
    # requests wait for something else than the processor.
    def last_flags
      @closes = @body.respond_to?(:close)
      @busy = pending?(@env["rack.after_reply"]) || pending?(@env["rack.response_finished"]) || (@closes && @runtime.closings.wary?) ||
              @runtime.rest?
      @answered = true
      flags = @busy ? Wire::BUSY : 0
      @runtime.eager? ? flags | Wire::EAGER : flags
    end

    # "GET /path", fit for a line of a log.
    def title
      "#{@env["REQUEST_METHOD"]} #{Failure.utf8(@env["PATH_INFO"].to_s)}".gsub(/[[:cntrl:]]/, "?")
    end

    private

    def respond_with_error
      error = @error
      @runtime.responder.respond(self, *@runtime.error_page.call(error, @env))
    rescue Exception => e # rubocop:disable Lint/RescueException -- a handler of the app's
      failed(e)
      @runtime.responder.respond(self, *@runtime.error_page.page_for(error, @env)) unless @answered
    end

    # What is left to do once the client has its response, in the order Puma does it.
    def finish
      abandon unless @answered || @hijacked
      return unless @busy || @input || @closes

      attempt { @runtime.closings.close(@body) if @body.respond_to?(:close) }
      attempt { @input&.close }
      run_hooks
      attempt { @runtime.out_of_band.run } if @busy && @runtime.rest?
    ensure
      @runtime.requests.write(Wire.frame(Wire::FREE, @id)) if @busy
    end

    # The app ended its thread: `Thread.exit` runs no rescue, only ensure.
    def abandon
      failed(ThreadError.new("the app ended the thread that ran the request")) unless @error
      @answered = true
      @runtime.requests.write(Wire.frame(Wire::RESPONSE, @id, code: 500))
    end

    def run_hooks
      hooks = @env["rack.after_reply"]
      hooks.each { |hook| attempt { hook.call } } if pending?(hooks)
      hooks = @env["rack.response_finished"]
      hooks.reverse_each { |hook| attempt { hook.call(@env, @status, @headers, @error) } } if pending?(hooks)
    end

    # Whether there are hooks to run. Apps may have put anything there.
    def pending?(hooks)
      Array === hooks && !hooks.empty?
    end

    def failed(error)
      @error = error
      log(error)
      nil
    end

    # The response is sent; what fails now only goes to the log.
    def attempt
      yield
    rescue Exception => e # rubocop:disable Lint/RescueException
      log(e)
    end

    def log(error)
      headline, rest = Failure.describe(error).split("\n", 2)
      Log.error(["#{headline} (#{title})", rest].compact.join("\n"), log_fields(error))
    end

    def log_fields(error)
      fields = { "event" => "exception", "error" => error.class.to_s, "method" => @env["REQUEST_METHOD"], "path" => @env["PATH_INFO"] }
      id = @env["HTTP_X_REQUEST_ID"]
      id ? fields.merge("request_id" => id) : fields
    end

    def receive_body
      io, = @runtime.deliveries.take(@id)
      raise IOError, "the body of the request did not arrive: the front or the worker has too many files open" unless io

      io.autoclose = false
      @input = @env["rack.input"] = File.for_fd(io.fileno, "rb")
    end

    def client_socket
      ClientSocket.open(*@runtime.deliveries.take(@id))
    end
  end
end
