# frozen_string_literal: true

module Serval
  # The threads that run requests: one leads, the others run or sleep.
  #
  # The leader reads a frame, lets go of the socket and runs the app itself. Handing each request to another thread
  # would cost two switches of the interpreter lock, a third of the requests per second of a small app. Who leads next
  # is found out when it matters: a thread that is done takes over, or the front, having heard nothing for a
  # millisecond, wakes a sleeper.
  class Crew
    SLOW = 0.001 # seconds
    EAGER_REQUESTS = 64

    # requests: the socket to lead on. wake: both ends of the pipe that sleepers read. take: gives the next Exchange,
    # nil at the end of file.
    def initialize(size, requests, wake, &take)
      @requests = requests
      @wake_in, @wake_out = wake
      @take = take
      @lead = Mutex.new
      @eager = 0
      @members = Array.new(size) { |index| Member.new(self, index) }
    end

    def start
      @members.each(&:start)
    end

    # Returns when the front has closed the socket and every request is done.
    def join
      @members.each(&:join)
    end

    # From now on a thread that ends is not replaced.
    def dismiss
      @dismissed = true
    end

    def dismissed?
      @dismissed
    end

    # The members that run a request now, the one with +id+ alone if it is not 0.
    def running(id = 0)
      @members.select { |member| (exchange = member.exchange) && (id.zero? || exchange.id == id) }
    end

    # The life of a member.
    def work(member)
      while (exchange = next_exchange(member))
        wake_another if @eager.positive?
        member.exchange = exchange
        exchange.run
        member.exchange = nil
        @eager = EAGER_REQUESTS if clock - exchange.since > SLOW
      end
    end

    private

    def next_exchange(member)
      until @lead.try_lock
        return if @dismissed

        rest(member)
      end
      begin
        exchange = @take.call
      ensure
        @lead.unlock
      end
      exchange || close_down
    end

    # Sleeps until woken, unless the leader is about to let go: it holds the lock for a moment without reading when the
    # frames are there already.
    def rest(member)
      return Thread.pass unless @requests.reading?

      member.asleep = true
      @wake_in.readpartial(1)
    ensure
      member.asleep = false
    end

    # Slow requests come in flocks. While they do, somebody should read before the front has to ask for it.
    def wake_another
      @eager -= 1
      wake(1) if @members.any?(&:asleep) && !@lead.locked?
    end

    def close_down
      dismiss
      wake(@members.size)
      nil
    end

    def wake(count)
      @wake_out.write_nonblock("!" * count, exception: false)
    end

    def clock
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end

    # One thread of the crew, and the request it runs. Should the app end the thread, another one takes its place.
    class Member
      attr_accessor :exchange, :asleep
      attr_reader :thread

      def initialize(crew, index)
        @crew = crew
        @name = "serval thread #{index}"
      end

      def start
        @thread = Thread.new do
          @crew.work(self)
        ensure
          @exchange = nil
          start unless @crew.dismissed?
        end
        @thread.name = @name
      end

      def join
        @thread.join until @crew.dismissed? && !@thread.alive?
      end
    end
  end
end
