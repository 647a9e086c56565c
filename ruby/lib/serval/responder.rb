# frozen_string_literal: true

require_relative "wire"
require_relative "headers"
require_relative "body_stream"

module Serval
  # Sends what an app returned, in the frames that suit its kind of body.
  class Responder
    # Bytes of a body that is not worth copying, that it may go out with its head in one string.
    LONG = 16 * 1024

    # The status of a part of something. A body that has a path all the same names the whole file with it, as Rack 2.1's does.
    PARTIAL = 206

    # rack: Rack.release. Up to 2 `to_ary` is a plain conversion; since 3 it closes the body, which has to wait here
    # until the response is written, so such a body is collected with `each` instead.
    def initialize(requests, rack:)
      @requests = requests
      @to_ary_closes = rack.to_i >= 3
    end

    # From now on the usual responses are written in C, by the Sender that this returns.
    def accelerate
      @sender = @requests.sender
    end

    # Returns when the response is written. Raises what the body raises as long as nothing was sent.
    def respond(exchange, status, headers, body)
      return if @sender&.respond(exchange, status, headers, body)

      status = check_status(status) unless Integer === status && status >= 100 && status <= 999
      head = Headers.encode(headers)
      return send_array(exchange, status, headers, head, body) if head && Array === body
      return respond_by_kind(exchange, status, headers, head, body) if head

      respond_with_care(exchange, status, headers, body)
    end

    private

    # Parts that are all there: one frame, unless they are too long for it.
    def send_array(exchange, status, headers, head, parts)
      body = parts.size == 1 && String === parts[0] ? parts[0] : join(parts)
      return send_long(exchange, status, headers, head, parts) if body.nil? || body.bytesize > Wire::LONGEST_IN_FRAMES

      # Wire.frame spelt out: its keywords would cost a quarter of a microsecond in each request.
      size = head.bytesize
      length = Wire::PREFIX_SIZE - 4 + size + body.bytesize
      flags = exchange.last_flags
      if body.bytesize > LONG
        @requests.write_both([length, Wire::RESPONSE, flags, status, exchange.id, size, head].pack(Wire::HEAD_OF_FRAME), body)
      else
        @requests.write([length, Wire::RESPONSE, flags, status, exchange.id, size, head, body].pack(Wire::FRAME))
      end
    end

    # Rack 2 apps may answer "200". -1 is how apps for Thin ask to answer later, through env["async.callback"].
    def check_status(status)
      number = status.respond_to?(:to_i) ? status.to_i : 0
      return number if number.between?(100, 999)

      raise TypeError, "the app's status, #{status.inspect}, is no number from 100 to 999" unless number == -1
      raise TypeError, "the app's status, -1, means later, but async.callback is not supported: use rack.hijack"
    end

    # For headers that are not all strings. One of them may be the app's wish to take the connection.
    def respond_with_care(exchange, status, headers, body)
      raise TypeError, "the app's headers are no Hash but #{headers.class}" unless headers.respond_to?(:each)

      head = Headers.encode_with_care(headers)
      takeover = headers["rack.hijack"] if Hash === headers
      return hand_over(exchange, status, head, takeover) if takeover

      respond_by_kind(exchange, status, headers, head, body)
    end

    def respond_by_kind(exchange, status, headers, head, body)
      if (parts = parts_of(body)) then @sender&.respond(exchange, status, headers, parts) || send_array(exchange, status, headers, head, parts)
      elsif callable?(body) then hand_over_or_skip(exchange, status, head, body)
      elsif bodiless?(status) then send_array(exchange, status, headers, head, [])
      elsif status != PARTIAL && (file = file_of(body)) then send_file(exchange, status, head, file)
      elsif body.respond_to?(:each) then send_each(exchange, status, headers, head, body)
      else raise TypeError, "the app's body, #{body.class}, has neither each nor call"
      end
    end

    # A streaming body of Rack 3. A body that can be enumerated as well is enumerated.
    def callable?(body)
      body.respond_to?(:call) && !body.respond_to?(:each)
    end

    # RFC 9110 §6.4.1
    def bodiless?(status)
      status < 200 || status == 204 || status == 304
    end

    # The parts as one string, by bytes; nil when it would be too long for one frame.
    def join(parts)
      parts = parts.map(&:to_s) unless parts.all?(String)
      return if parts.sum(&:bytesize) > Wire::LONGEST_IN_FRAMES

      parts.pack("a*" * parts.size)
    end

    def send_long(exchange, status, headers, head, parts)
      parts = parts.map(&:to_s)
      unless Headers.find(headers, "content-length") || Headers.find(headers, "transfer-encoding")
        head += "content-length\0#{parts.sum(&:bytesize)}\0"
      end
      send_each(exchange, status, headers, head, parts)
    end

    # The file behind a body that has a path, nil when there is no plain file to open.
    def file_of(body)
      path = body.respond_to?(:to_path) && body.to_path or return
      file = File.open(path, File::RDONLY | File::NONBLOCK | File::BINARY) # NONBLOCK: a FIFO must not hold us up
      return file if file.stat.file?

      file.close
      nil
    rescue SystemCallError, TypeError, ArgumentError
      nil
    end

    def send_file(exchange, status, head, file)
      extent = [0, file.size].pack("Q>Q>")
      frame = Wire.frame(Wire::FILE, exchange.id, code: status, flags: exchange.last_flags, head: head, body: extent)
      @requests.write_with(file, frame)
    ensure
      file.close
    end

    # The parts of a body that is an array inside; nil when it is none. Some answer nil to to_ary.
    def parts_of(body)
      return body if Array === body
      return unless body.respond_to?(:to_ary)
      return body.to_ary unless @to_ary_closes && body.respond_to?(:close)

      body.enum_for(:each).map(&:dup)
    end

    def send_each(exchange, status, headers, head, body)
      stream = BodyStream.new(@requests, exchange.id, status, head, hold: hold(headers))
      exchange.head? ? stream.start : send_parts(stream, headers, body)
      stream.finish(exchange.last_flags)
    ensure
      # The body raised, or ended its thread. If nothing was sent, an error page still can be.
      stream.abort(exchange.last_flags) if stream&.broken?
    end

    def send_parts(stream, headers, body)
      stream.go_live if live?(headers)
      body.each { |part| break unless stream.write(part) }
    end

    # Bytes of the body if the headers tell and it is not many: such a body is no live stream, and a single frame for
    # it saves the front and the client a write.
    def hold(headers)
      length = Headers.find(headers, "content-length").to_s
      length.match?(/\A\d+\z/) && length.to_i <= Wire::LONGEST_IN_FRAMES ? length.to_i : 0
    end

    # Server-sent events: the client wants the head at once, and the first event may be long in coming.
    def live?(headers)
      Headers.find(headers, "content-type").to_s.start_with?("text/event-stream")
    end

    def hand_over_or_skip(exchange, status, head, body)
      return hand_over(exchange, status, head, body) unless exchange.head? || status == 204 || status == 304

      stream = BodyStream.new(@requests, exchange.id, status, head)
      stream.start
      stream.finish(exchange.last_flags)
    end

    # Partial hijack: the head goes out as usual, the rest is between the app and the socket.
    def hand_over(exchange, status, head, takeover)
      raise TypeError, "the app's rack.hijack, #{takeover.class}, has no method call" unless takeover.respond_to?(:call)

      @requests.write(Wire.frame(Wire::HEAD, exchange.id, code: status, flags: Wire::TAKEOVER, head: head))
      socket = exchange.take_over
      takeover.call(socket)
    rescue Exception # rubocop:disable Lint/RescueException
      socket&.close
      raise
    end
  end
end
