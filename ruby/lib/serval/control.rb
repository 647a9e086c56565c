# frozen_string_literal: true

require "socket"
require_relative "boot"
require_relative "log"

module Serval
  # The `control` socket: rare messages, one a packet, with a descriptor at times.
  class Control
    PACKET = 65_536
    RIGHTS = 256 # bytes of ancillary data, room for a few descriptors

    # deliveries: where descriptors go. runtime: answers the front's questions.
    def initialize(socket, deliveries, runtime)
      @socket = socket
      @deliveries = deliveries
      @runtime = runtime
    end

    def listen
      @thread = Thread.new do
        loop { break unless receive }
      rescue Exception => e # rubocop:disable Lint/RescueException -- a worker that hears nothing is of no use
        Log.error(Failure.describe(e))
        exit!(1)
      end
      @thread.name = "serval control"
    end

    # Handles what came before the end, lines of the log most likely, and then hears no more.
    def take_leave
      @leaving = true
      @socket.shutdown(Socket::SHUT_RD) # what is there can still be read, and then comes an end of file
      @thread.join
    end

    def ready(facts)
      send_message("R", 0, facts.map { |key, value| "#{key}=#{value}\0" }.join)
    end

    # Fit for a signal handler: takes no lock.
    def ask_to_retire
      send_message("T", 0, "")
    end

    # Sends what the block gives as the answer to question +id+, or why there is none.
    def answer(id)
      send_message("A", id, yield.to_s)
    rescue StandardError, ScriptError, NoMemoryError => e
      send_message("X", id, Failure.headline(e))
    end

    # The socket is another process's from now on.
    def forget
      @socket.autoclose = false
    end

    private

    def receive
      packet, _, _, *ancillary = @socket.recvmsg(PACKET, 0, RIGHTS, scm_rights: true)
      return leave if packet.nil? || packet.empty?

      type, id, text = packet.unpack("aNa*")
      io = ancillary.map { |data| data.unix_rights }.compact.flatten.first
      handle(type, id, text, io)
      true
    rescue Errno::ECONNRESET
      leave
    end

    # The front is gone, nobody is there to answer to.
    def leave
      exit!(1) unless @leaving
    end

    def handle(type, id, text, io)
      case type
      when "f", "h" then @deliveries.put(id, io, text)
      when "b" then send_message("B", id, @runtime.backtraces(id))
      when "p" then send_message("P", id, "")
      when "a" then answer(id) { @runtime.report(text) }
      when "l" then @runtime.log(text)
      when "s" then @runtime.take_stats(text)
      # In threads of their own: what comes next may be the body that a request waits for.
      when "k" then Thread.new { answer(id) { @runtime.run_hook(*text.split("\0")) } }
      when "m" then @runtime.promote(id, io, text)
      else io&.close # a message of a newer front
      end
    end

    def send_message(type, id, text)
      @socket.send([type, id, text.b.byteslice(0, Boot::LONGEST_TEXT)].pack("aNa*"), 0)
    rescue Errno::EPIPE, Errno::ECONNRESET
      nil # the reading thread notices
    end
  end
end
