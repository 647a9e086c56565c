# frozen_string_literal: true

require "fcntl"
require "rbconfig"
require "timeout"
require_relative "support/worker_test"
require_relative "../lib/serval/accelerator"

# Accelerator.read and Accelerator.guard: how threads wait for requests, and get on beside long computations.
class TurnsTest < WorkerTest
  LIBRARY = Serval::Accelerator::Library.new(Front::LIBRARIES)
  GUARDS = !RUBY_VERSION.start_with?("3.0.") # accelerator.c says why
  Stop = Class.new(StandardError)

  def setup
    LIBRARY.build
    LIBRARY.load
    @from, @to = pipe
  end

  def teardown
    [@from, @to].each(&:close)
  end

  def test_it_reads_what_is_there_and_nothing_at_the_end
    @to.write("abc")
    into = +"was there before"
    assert_same into, read(into, most: 2)
    assert_equal "ab", into
    assert_equal "c", read
    @to.close
    assert_nil read
    assert_raises(Errno::EBADF) { Serval::Accelerator.read(1_000_000, 10, +"") }
    assert_raises(FrozenError) { read("") }
  end

  def test_it_leaves_alone_what_shares_the_string_s_memory
    into = "a" * 1000
    part = into.byteslice(500..-1)
    @to.write("b" * 1000)
    read(into)
    assert_equal ["b" * 1000, "a" * 500], [into, part]
  end

  def test_it_waits_and_lets_other_threads_run
    reader = Thread.new { read }
    Thread.pass until reader.stop?
    @to.write("late")
    assert_equal "late", reader.value
  end

  def test_it_waits_also_for_what_does_not_block
    @from.fcntl(Fcntl::F_SETFL, @from.fcntl(Fcntl::F_GETFL) | Fcntl::O_NONBLOCK)
    reader = Thread.new { read }
    Thread.pass until reader.stop?
    @to.write("late")
    assert_equal "late", reader.value
  end

  def test_who_waits_can_be_interrupted_and_ended
    reader = Thread.new { Timeout.timeout(0.05) { read } }
    reader.report_on_exception = false
    assert_raises(Timeout::Error) { reader.value }
    reader = Thread.new { read }
    Thread.pass until reader.stop?
    reader.kill
    assert reader.join(20), "a thread that waits cannot be ended"
    @to.write("whole")
    assert_equal "whole", read(+"")
  end

  def test_the_string_can_be_used_again_after_an_interrupt
    into = +""
    assert_raises(Timeout::Error) { Timeout.timeout(0.05) { read(into) } }
    @to.write("again")
    assert_equal "again", read(into)
  end

  def test_an_interrupt_comes_before_a_read_or_after_it_and_no_byte_is_lost
    stopped = 0
    reader = Thread.new { read_while_interrupted { stopped += 1 } }
    Thread.pass until reader.stop?
    sent = (1..1000).map do |number|
      reader.raise(Stop)
      @to.write(number.to_s)
      assert wait_until { stopped == number }
      number.to_s
    end
    @to.close
    assert_equal sent.join, reader.value
  end

  # Without the guard each answer takes a tenth of a second, Ruby's own time slice.
  def test_who_has_read_something_need_not_wait_for_a_computation
    alone, guarded, given = in_a_process do
      answering
      alone = Array.new(3) { ask }
      Serval::Accelerator.guard
      [alone.sort[1], Array.new(11) { ask }.sort[5], Serval::Accelerator.given]
    end
    return assert_equal(0, given) unless GUARDS

    assert_operator given, :>, 5, "turns given for eleven answers"
    assert_operator guarded, :<, alone / 2, "seconds for an answer, with the guard and without"
  end

  def test_threads_that_are_made_to_give_turns_can_be_interrupted_and_ended
    answering = self.answering
    20.times do
      Serval::Accelerator.guard
      computing = Thread.new { loop { ask } }
      answers = @answers
      assert wait_until { @answers > answers + 2 }
      computing.kill
      assert computing.join(20), "Thread#kill was lost"
      assert_raises(Timeout::Error) { Timeout.timeout(0.02) { loop { ask } } }
    end
  ensure
    answering.kill.join
  end

  def test_there_is_one_guard_in_a_process_and_a_forked_one_begins_without
    3.times { Serval::Accelerator.guard }
    expected = GUARDS ? 1 : 0
    assert wait_until { guards == expected }, "there are #{guards} guards"
    before, after = in_a_process do
      before = guards
      3.times { Serval::Accelerator.guard }
      [before, wait_until { guards == expected }]
    end
    assert_equal [0, true], [before, after]
  end

  def test_a_process_that_ends_in_the_midst_of_turns_ends_its_guard_first
    10.times do
      out, status = finish(<<~RUBY)
        at_exit do # the last one: those that were set later come first
          Serval::Accelerator.guard
          $computing.each(&:kill)
          $computing.each(&:join)
          puts Dir.glob("/proc/self/task/*/comm").count { |path| (File.read(path) rescue nil).to_s.start_with?("serval turns") }
        end
        require ARGV.first
        from, to = IO.pipe
        4.times { Thread.new { loop { Serval::Accelerator.read(from.fileno, 1, +"") } } }
        $computing = Array.new(2) { Thread.new { loop { 1000.times { to } } } }
        Thread.new { loop { to.write("!") } }
        Serval::Accelerator.guard
        sleep 0.02
      RUBY
      assert_equal ["0\n", true], [out, status.success?]
    end
  end

  private

  # One whose reader waits in the kernel.
  def pipe
    IO.pipe.tap { |from, _| from.fcntl(Fcntl::F_SETFL, from.fcntl(Fcntl::F_GETFL) & ~Fcntl::O_NONBLOCK) }
  end

  def read(into = +"", most: 1000)
    Serval::Accelerator.read(@from.fileno, most, into)
  end

  # All there is to read. Interrupts are let in where the thread waits, and nowhere else.
  def read_while_interrupted
    all = +""
    Thread.handle_interrupt(Stop => :on_blocking) do
      while (found = read)
        all << found
      end
    rescue Stop
      yield
      retry
    end
    all
  end

  def now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end

  def wait_until
    deadline = now + 20
    Thread.pass until (found = yield) || now > deadline
    found
  end

  def guards
    Dir.glob("/proc/self/task/*/comm").count { |path| name_of(path) == "serval turns\n" }
  end

  # nil for a thread that has ended meanwhile.
  def name_of(path)
    File.read(path)
  rescue SystemCallError
    nil
  end

  # What the block returns in a process of its own, without this one's guard.
  def in_a_process
    out, into = IO.pipe
    pid = fork do
      into.write(Marshal.dump(yield))
      into.close
    ensure
      exit!
    end
    into.close
    Marshal.load(out.read) # rubocop:disable Security/MarshalLoad
  ensure
    Process.wait(pid)
    out.close
  end

  # What a Ruby prints, and how it ends. Its script gets the accelerator's path.
  def finish(script)
    library = Dir.glob(File.join(Front::LIBRARIES, "*", "accelerator.*")).find { |path| path.end_with?(RbConfig::CONFIG["DLEXT"]) }
    accelerator = File.expand_path("../lib/serval/accelerator", __dir__)
    out = IO.popen([RbConfig.ruby, "-r", accelerator, "-e", script, library, err: %i[child out]], &:read)
    [out, Process.last_status]
  end

  # A thread that answers those who ask.
  def answering
    @answers = 0
    Thread.new { @answers += 1 while read }
  end

  # Seconds of computing until there is an answer. This thread does not let go of the lock by itself meanwhile.
  def ask
    before = now
    answers = @answers
    @to.write_nonblock("?")
    1000.times { before } while @answers == answers
    now - before
  end
end
