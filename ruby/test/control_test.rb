# frozen_string_literal: true

require_relative "support/worker_test"

class ControlTest < WorkerTest
  def test_a_backtrace_tells_what_a_request_is_doing
    front = serve("def wait_here; File.read('gate'); end\nrun ->(env) { wait_here; [200, {}, []] }", threads: 2)
    front.gate("gate")
    id = front.ask("/slow/page")
    text = backtraces(front, id) { |answer| answer.include?("wait_here") }
    assert_match(%r{\Aserval thread \d, GET /slow/page, running for \d+\.\d{3} s\n    .*config\.ru:1:in .*read}, text)
    refute_match(/serval control/, text)
    front.pass("gate")
    assert_equal 200, front.response(id).status
  end

  def test_a_request_that_is_not_running_has_no_backtrace
    front = serve("run ->(env) { [200, {}, []] }")
    front.tell("b", 77)
    assert_equal ["B", 77, ""], front.message
  end

  def test_zero_asks_for_all_threads
    front = serve("run ->(env) { File.read('gate'); [200, {}, []] }", threads: 2)
    front.gate("gate")
    front.ask
    text = backtraces(front, 0) { |answer| answer.include?("GET /") }
    assert_match(/GET \/, running/, text)
    assert_match(/^serval thread \d$/, text)
    assert_match(/^serval control$/, text)
  end

  def test_a_deep_backtrace_fits_a_packet
    front = serve(<<~RUBY)
      deep = ->(n) { n.zero? ? File.read('gate') : deep.call(n - 1) }
      run ->(env) { deep.call(2000); [200, {}, []] }
    RUBY
    front.gate("gate")
    id = front.ask
    text = backtraces(front, id) { |answer| answer.include?("config.ru") }
    assert_operator text.bytesize, :<=, 64 * 1024
  end

  def test_messages_of_a_newer_front_are_ignored
    front = serve("run ->(env) { [200, {}, ['fine']] }")
    front.tell("?", 1, "what")
    File.open(File::NULL) { |file| front.tell("!", 1, "", file) }
    assert_equal "fine", front.get.body
  end

  private

  # Asks until the request has got as far as the block wants.
  def backtraces(front, id)
    loop do
      front.tell("b", id)
      type, answered, text = front.message
      assert_equal ["B", id], [type, answered]
      return text if yield(text)
    end
  end
end
