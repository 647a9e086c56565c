# frozen_string_literal: true

require "socket"

module Serval
  # The client's own socket, handed to an app that hijacks its connection.
  module ClientSocket
    HANDED_OUT = ObjectSpace::WeakMap.new # keys: the sockets
    LOOK_EVERY = 0.05 # seconds

    module_function

    # In a process that was forked: the clients are the other one's.
    def close_all
      HANDED_OUT.keys.each(&:close)
    end

    # Returns when the app has closed all of them, which threads of its own may have, or after so many seconds.
    def await_closing(patience)
      deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + patience
      while Process.clock_gettime(Process::CLOCK_MONOTONIC) < deadline && HANDED_OUT.keys.any? { |socket| !socket.closed? }
        sleep LOOK_EVERY
      end
    end

    # io: what came from the front, nil when the client has left meanwhile. early: bytes the front had read already;
    # the app gets them first.
    def open(io, early)
      return closed_peer unless io

      socket = of_its_class(io)
      HANDED_OUT[socket] = true
      socket.ungetbyte(early) unless early.empty?
      socket
    end

    # A descriptor arrives as a plain Socket: apps expect what TCPServer#accept would have given them.
    def of_its_class(io)
      return io unless io.instance_of?(Socket)

      type = io.local_address.ip? ? TCPSocket : UNIXSocket
      io.autoclose = false
      type.for_fd(io.fileno)
    end

    # Reads end of file, writes raise EPIPE: as the socket of a client that hung up.
    def closed_peer
      here, there = UNIXSocket.pair
      there.close
      here
    end
  end
end
