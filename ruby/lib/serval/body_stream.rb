# frozen_string_literal: true

require "socket"
require_relative "wire"

module Serval
  # The body of one response on its way to the front, part by part.
  #
  # Nothing is sent before more than +hold+ bytes are there: a body of known, small length goes out as one RESPONSE.
  # With 0 each part leaves as soon as it is written, the first one together with the head. A body that turns out to be
  # large or lasting goes on over a socket of its own. The socket's buffer makes a slow client's thread wait, and its
  # end tells that the client has left, without which an endless body would go on for nobody.
  class BodyStream
    LASTING = 1 # seconds

    def initialize(requests, id, status, head, hold: 0)
      @requests = requests
      @id = id
      @status = status
      @head = head
      @hold = hold
      @held = String.new
      @sent = 0
    end

    # Whether the client may have seen the head, but the end is missing.
    def broken?
      !@head && !@finished
    end

    # Sends one part; an empty one is skipped. False once the client has gone: nobody needs the rest.
    def write(part)
      part = part.to_s
      size = part.bytesize
      return true if size.zero?
      return hold(part) if @head && @held.bytesize + size <= @hold
      return write_to_socket(part) if @socket || large?(size) || lasting?

      @sent += size
      @head ? start(part) : send_frame(Wire::CHUNK, body: part)
    end

    # Sends the head now, for a body whose first part may take its time.
    def start(part = Wire::EMPTY)
      first = @held.empty? ? part : @held << part.b
      @sent += @held.bytesize
      @since = clock
      Wire.uninterrupted do
        send_frame(Wire::HEAD, code: @status, head: @head, body: first).tap { @head = nil }
      end
    end

    # The rest goes over a socket from here on, however little it is.
    def go_live
      start if @head
      @socket, theirs = UNIXSocket.pair
      Wire.uninterrupted { @requests.write_with(theirs, Wire.frame(Wire::STREAM, @id)) }
      theirs.close
    end

    def finish(flags)
      Wire.uninterrupted do
        @finished = true
        next send_frame(Wire::RESPONSE, code: @status, flags: flags, head: @head, body: @held) if @head

        hang_up if @socket
        send_frame(Wire::FINISH, flags: @gone ? flags | Wire::ABORT : flags)
      end
    end

    # The body broke in the middle: the client must notice, so the front cuts the connection.
    def abort(flags)
      @gone = true
      finish(flags)
    end

    private

    # The front reads to the stream's end. Processes that the app has forked meanwhile hold the socket, too, so closing it
    # would not be one.
    def hang_up
      @socket.shutdown(:WR)
    rescue Errno::ENOTCONN
      nil # the front was first
    ensure
      @socket.close
    end

    def hold(part)
      @held << part.b
      true
    end

    def write_to_socket(part)
      go_live unless @socket
      @socket.write(part)
      true
    rescue Errno::EPIPE, Errno::ECONNRESET
      @gone = true
      false
    end

    def large?(size)
      @sent + @held.bytesize + size > Wire::LONGEST_IN_FRAMES
    end

    def lasting?
      !@head && clock - @since > LASTING
    end

    def clock
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end

    def send_frame(type, **fields)
      frame = Wire.frame(type, @id, **fields)
      Wire.uninterrupted { @requests.write(frame) }
    end
  end
end
