# frozen_string_literal: true

require "socket"
require_relative "wire"

module Serval
  # The `requests` socket: whole frames in, whole frames out.
  #
  # Reading is for one thread at a time; the crew sees to that. Writing is for any thread.
  class Requests
    READ_SIZE = 65_536

    def initialize(socket)
      @socket = socket
      @data = String.new(capacity: READ_SIZE) # what was read, from @at on not taken yet
      @at = 0
      @write = Mutex.new
      @reading = false
    end

    # From now on the accelerator reads, where that means to wait.
    def accelerate
      @accelerated = true
    end

    # Whether a thread sits in `next` with nothing to take.
    def reading?
      @reading
    end

    # The socket is another process's from now on.
    def forget
      @socket.autoclose = false
    end

    # The bytes of the next frame, nil at the end of file. They may be those of the read buffer: good until the next
    # call.
    def next
      until (length = length_of_next)
        return unless fill
      end

      rest = @data.bytesize - @at - length
      return last(length) if rest.zero?

      frame = @data.byteslice(@at, length)
      @at += length
      frame
    end

    # Reads what is there, waiting if there is nothing. False at the end of file.
    def fill
      rest = @at == @data.bytesize ? nil : @data.byteslice(@at..-1) # usually nothing: frames come whole
      @at = 0
      return read unless rest

      found = read
      @data = rest << @data if found
      found
    end

    # Sends +frame+ whole. Returns false when the front has closed its end.
    #
    # A write that does not block keeps the interpreter lock, so the usual response costs no thread switch.
    def write(frame)
      @write.lock # not synchronize, whose block costs as much again (bench/requests.rb)
      begin
        push(frame)
      ensure
        @write.unlock
      end
      true
    rescue Errno::EPIPE, Errno::ECONNRESET
      false
    end

    # Sends a frame in two pieces: a long body is not copied for it.
    def write_both(head, body)
      @write.synchronize do
        push(head)
        push(body)
      end
      true
    rescue Errno::EPIPE, Errno::ECONNRESET
      false
    end

    # The end of a frame that the accelerator has begun. It has locked @write for it.
    def write_rest(bytes)
      @socket.write(bytes)
    rescue Errno::EPIPE, Errno::ECONNRESET
      false
    ensure
      @write.unlock
    end

    # A Sender in C for this socket.
    def sender
      Accelerator::Sender.new(self, @write, @socket.fileno)
    end

    # Has +sender+ make an outbox, and tells the front.
    def share_outbox(sender)
      fd = sender.outbox
      IO.open(fd) { |memory| write_with(memory, Wire.frame(Wire::OUTBOX, 0)) } if fd
    end

    # Sends +frame+ with a descriptor at its first byte.
    def write_with(io, frame)
      @write.synchronize do
        written = @socket.sendmsg(frame, 0, nil, Socket::AncillaryData.unix_rights(io))
        @socket.write(frame.byteslice(written..-1)) unless written == frame.bytesize
      end
      true
    rescue Errno::EPIPE, Errno::ECONNRESET
      false
    end

    private

    def push(bytes)
      written = @socket.write_nonblock(bytes, exception: false)
      return if written == bytes.bytesize

      # The socket is full: wait, and let the other writers wait on the mutex, that no frames mix.
      @socket.write(written == :wait_writable ? bytes : bytes.byteslice(written..-1))
    end

    # The last frame in the buffer, which is moved to its start. A slice would share the buffer's memory, as those of a string's
    # end do: the next read would have to allocate 64 KiB anew, and every 256th would make Ruby collect garbage.
    def last(length)
      @data[0, @at] = "" unless @at.zero?
      @at = length
      @data
    end

    # Bytes of the frame at @at, nil while it is not all there.
    def length_of_next
      rest = @data.bytesize - @at
      return if rest < Wire::PREFIX_SIZE

      length = 4 + (@at.zero? ? @data : @data.byteslice(@at, 4)).unpack1("N")
      length if length <= rest
    end

    # Tries first, for a busy front: a read that finds something keeps the interpreter lock.
    def read
      found = @socket.read_nonblock(READ_SIZE, @data, exception: false)
      found == :wait_readable ? wait : found
    rescue Errno::ECONNRESET
      nil
    end

    def wait
      @reading = true
      return Accelerator.read(@socket.fileno, READ_SIZE, @data) if @accelerated

      @socket.readpartial(READ_SIZE, @data)
    rescue EOFError
      nil
    ensure
      @reading = false
    end
  end
end
