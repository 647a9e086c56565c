# frozen_string_literal: true

require_relative "support/worker_test"

class EndingTest < WorkerTest
  HELLO = 'run ->(env) { [200, {}, ["hello"]] }'

  def test_a_worker_whose_requests_end_finishes_runs_its_exit_handlers_and_leaves
    front = serve("at_exit { File.write('left', 'x') }\nrun ->(env) { [200, {}, [File.read('gate')]] }", threads: 2)
    front.gate("gate")
    id = front.ask
    front.requests.close_write
    front.pass("gate", "finished")
    assert_equal "finished", front.response(id).body
    assert_equal 0, front.status.exitstatus
    assert File.exist?(File.join(front.directory, "left"))
  end

  def test_requests_that_were_sent_before_the_end_are_answered
    front = serve(HELLO, threads: 3)
    ids = Array.new(50) { front.ask }
    front.requests.close_write
    answered = ids.map { front.frame }
    assert_equal [ids.sort, ["hello"]], [answered.map(&:id).sort, answered.map(&:body).uniq]
    assert_nil front.frame
    assert_equal 0, front.status.exitstatus
  end

  def test_a_worker_of_many_threads_leaves_at_once_when_idle
    assert_equal 0, serve(HELLO, threads: 16).retire.exitstatus
  end

  def test_a_worker_leaves_at_once_when_its_front_is_gone
    front = serve("at_exit { File.write('left', 'x') }\nrun ->(env) { File.read('gate') }", threads: 2)
    front.gate("gate")
    front.ask
    [front.control, front.requests].each(&:close)
    assert_equal 1, front.status.exitstatus
    refute File.exist?(File.join(front.directory, "left"))
  end

  def test_a_front_that_goes_while_the_app_answers_is_no_error
    front = serve("run ->(env) { File.read('gate'); [200, {}, ['x' * 100]] }")
    front.gate("gate")
    front.ask
    front.requests.close
    front.pass("gate")
    assert_equal 0, front.status.exitstatus
    assert_equal "", front.log
  end

  # --- signals ---

  def test_term_asks_the_front_to_be_retired
    front = serve(HELLO)
    Process.kill(:TERM, front.pid)
    assert_equal ["T", 0, ""], front.message
    assert_equal "hello", front.get.body
    assert_equal 0, front.retire.exitstatus
  end

  def test_a_term_handler_of_the_app_still_runs
    front = serve("trap('TERM') { File.write('heard', 'x') }\n#{HELLO}")
    Process.kill(:TERM, front.pid)
    assert_equal "T", front.message[0]
    assert_equal 0, front.retire.exitstatus
    assert File.exist?(File.join(front.directory, "heard"))
  end

  def test_other_signals_of_a_terminal_or_an_operator_change_nothing
    front = serve(HELLO)
    %i[INT HUP USR1 USR2].each { |signal| Process.kill(signal, front.pid) }
    assert_equal "hello", front.get.body
  end

  # --- processes the app starts ---

  # Prints the descriptors that a process was born with, and the mask of the signals it ignores.
  SCRIPT = <<~'RUBY'
    puts Dir.children("/proc/self/fd").map(&:to_i).sort.inspect
    puts File.read("/proc/self/status")[/SigIgn:\s*(\h+)/, 1]
  RUBY

  def test_processes_of_the_app_inherit_no_descriptor_and_no_ignored_signal
    command = [RbConfig.ruby, "--disable-gems", "-e", SCRIPT]
    front = serve("run ->(env) { [200, {}, [IO.popen(#{command.inspect}, close_others: false, &:read)]] }")
    descriptors, ignored = front.get.body.lines
    assert_equal IO.popen(command, &:gets), descriptors
    signals = %w[INT HUP USR1 USR2 TERM].map { |name| 1 << (Signal.list[name] - 1) }.sum
    assert_equal 0, ignored.to_i(16) & signals
  end
end
