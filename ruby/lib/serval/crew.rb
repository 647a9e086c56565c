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
    WATCHED_REQUESTS = 64
    GUARDED_REQUESTS = 64

    # In seconds: how long a long request computes, in what time two of them are a flock, and how much others compute while one starves.
    LONG = 0.005
    FLOCK = 0.25
    STARVED = 0.05

    # How a moment without requests is sought, in seconds: for how long in all, how long new ones are held back for it, and
    # how long they are let go on between two attempts.
    PATIENCE = 20
    STAND = 0.1
    PAUSE = 0.2

    # requests: the socket to lead on. wake: both ends of the pipe that sleepers read. blocks: the configuration's, for
    # threads that begin and end. take: gives the next Exchange, nil at the end of file.
    def initialize(size, requests, wake, blocks, &take)
      @requests = requests
      @wake_in, @wake_out = wake
      @blocks = blocks
      @take = take
      @lead = Mutex.new
      @eager = 0
      @watched = 0
      @guarded = 0
      @long = 0
      @members = Array.new(size) { |index| Member.new(self, index) }
    end

    def start
      @members.each(&:start)
    end

    # Returns when the front has closed the socket and every request is done.
    def join
      @members.each(&:join)
    end

    # From now on the accelerator lets those who have a request interrupt long computations.
    def accelerate
      @accelerated = true
    end

    def accelerated?
      @accelerated
    end

    # From now on a thread that ends is not replaced.
    def dismiss
      @dismissed = true
    end

    def dismissed?
      @dismissed
    end

    # Whether requests have waited for something else than the processor of late.
    def eager?
      @eager.positive?
    end

    # The members that run a request now, the one with +id+ alone if it is not 0.
    def running(id = 0)
      @members.select { |member| (exchange = member.exchange) && (id.zero? || exchange.id == id) }
    end

    # The life of a member.
    def work(member)
      AsPuma.enter(self)
      @blocks.run(:before_thread_start, nil)
      while (exchange = next_exchange(member))
        wake_another if eager? || @guarded.positive?
        @still&.synchronize {} # waits while the process is forked
        member.exchange = exchange
        before = @watched.positive? ? watch(member) : nil
        exchange.run
        member.exchange = nil
        member.served += 1
        took = clock - exchange.since
        slow(member, took, before) if took > SLOW
      end
      @blocks.run(:before_thread_exit, nil)
    end

    # Runs the block at a moment when no member runs a request; those that are taken meanwhile wait. Raises when there was
    # no such moment.
    def stand_still
      deadline = clock + PATIENCE
      until (found = attempt_to_stand { yield })
        raise ThreadError, "the worker was never idle for #{PATIENCE} seconds" if clock > deadline

        sleep PAUSE
      end
      found
    end

    # Puma's numbers of a worker.
    def stats
      busy = running.size
      { backlog: 0, running: @members.size, pool_capacity: @members.size - busy, busy_threads: busy,
        max_threads: @members.size, requests_count: @members.sum(&:served) }
    end

    # The pipe is another process's from now on.
    def forget
      [@wake_in, @wake_out].each { |io| io.autoclose = false }
      @members.each(&:forget)
    end

    private

    # New requests wait for a moment only: the clients feel it.
    def attempt_to_stand
      @still = Mutex.new
      @still.synchronize do
        deadline = clock + STAND
        sleep 0.001 until idle? || clock > deadline
        yield if idle?
      end
    ensure
      @still = nil
    end

    # Whether all members are there, unless they leave, and none runs a request.
    def idle?
      running.empty? && (@dismissed || @members.all?(&:begun))
    end

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
      @accelerated ? Accelerator.read(@wake_in.fileno, 1, +"") : @wake_in.readpartial(1)
    ensure
      member.asleep = false
    end

    # A request that was slow while the process waited makes the crew eager. One that was slow while the process computed, for it
    # or for another request, does not: the interpreter's lock was taken, and a further thread would only have fought for
    # it. Nor does one that waited for a processor, on a machine that is short of them. To tell takes a look at the process's clock
    # before and after, which costs two system calls each, so only the requests that follow a slow one are looked at.
    def slow(member, took, before)
      computed = before ? cpu - before : took
      waited = before ? took - computed - member.delayed : 0
      @eager = EAGER_REQUESTS if waited > SLOW && waited > took / 3
      @watched = WATCHED_REQUESTS
      guard if @accelerated && before && (computed > STARVED || flock?(member.computed))
    end

    # Whether a request was long, and another one was just before. A single one may have met the garbage collector.
    def flock?(computed)
      return false if computed < LONG

      last = @long
      @long = clock
      @long - last < FLOCK
    end

    # Those who compute for long come in flocks, too. While they do, somebody should be there to read, and then not wait for them.
    def guard
      @guarded = GUARDED_REQUESTS
      Accelerator.guard
    end

    # Slow requests come in flocks. While they do, somebody should read before the front has to ask for it.
    def wake_another
      @eager -= 1 if @eager.positive?
      @guarded -= 1 if @guarded.positive?
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

    # Notes what `slow` needs to know of the time before a request.
    def watch(member)
      @watched -= 1
      member.note
      cpu
    end

    # Seconds for which the process has computed.
    def cpu
      Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID)
    end

    def clock
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end

    # One thread of the crew, and the request it runs. Should the app end the thread, another one takes its place.
    class Member
      attr_accessor :exchange, :asleep, :served
      attr_reader :thread, :begun

      def initialize(crew, index)
        @crew = crew
        @served = 0
        @name = "serval thread #{index}"
      end

      def start
        @thread = Thread.new do
          @schedule = schedule
          @begun = true
          @crew.work(self)
        ensure
          @begun = false
          @schedule&.close
          @exchange = nil
          start unless @crew.dismissed?
        end
        @thread.name = @name
      end

      def join
        @thread.join until @crew.dismissed? && !@thread.alive?
      end

      # The thread is another process's.
      def forget
        @schedule&.close
      end

      # Called by its own thread, as are the next two.
      def note
        @delay = delay
        @computed = computing
      end

      # Seconds for which the thread has waited for a processor since then.
      def delayed
        delay - @delay
      end

      # Seconds for which the thread has computed since then.
      def computed
        computing - @computed
      end

      private

      def computing
        Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID)
      end

      # In all, as far as the system tells.
      def delay
        return 0 unless @schedule
        return Accelerator.delay(@schedule.fileno) if @crew.accelerated?

        @schedule.pread(64, 0).split[1].to_f / 1e9
      end

      # Of the thread that calls it: how long it ran, how long it waited to, in nanoseconds, and how often it ran (proc(5)).
      def schedule
        File.open("/proc/thread-self/schedstat")
      rescue SystemCallError
        nil
      end
    end
  end
end
