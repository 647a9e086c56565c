# frozen_string_literal: true

require "etc"
require_relative "support/worker_test"

class ConcurrencyTest < WorkerTest
  # An app that waits at the gate which its query names, and tells path and digest of the body.
  APP = <<~'RUBY'
    require "digest"
    run(lambda do |env|
      File.read(env["QUERY_STRING"]) unless env["QUERY_STRING"].empty?
      sleep 0.005 if env["PATH_INFO"] == "/nap"
      if env["PATH_INFO"] == "/compute"
        done = Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID) + 0.004
        nil until Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID) > done
      end
      [200, { "x-path" => env["PATH_INFO"] }, ["#{env["PATH_INFO"]} #{Digest::MD5.hexdigest(env["rack.input"].read)}"]]
    end)
  RUBY

  def test_one_thread_runs_one_request_at_a_time
    front = serve(APP, threads: 1)
    front.gate("a")
    slow = front.ask("/slow?a")
    fast = front.ask("/fast")
    3.times { front.poke }
    front.pass("a")
    assert_equal [slow, fast], [front.frame.id, front.frame.id]
  end

  def test_a_poke_lets_a_fast_request_pass_a_slow_one
    front = serve(APP, threads: 2)
    front.gate("a")
    slow = front.ask("/slow?a")
    fast = front.ask("/fast")
    assert_equal fast, poke_until_frame(front).id
    front.pass("a")
    assert_equal slow, front.frame.id
  end

  def test_all_threads_can_run_at_the_same_time
    front = serve(APP, threads: 5)
    gates = %w[a b c d e]
    gates.each { |name| front.gate(name) }
    ids = gates.map { |name| front.ask("/#{name}?#{name}") }
    gates.zip(ids).reverse_each do |name, id|
      poke_while { front.pass(name) }
      assert_equal id, front.frame.id
    end
  end

  def test_after_requests_that_waited_a_thread_reads_on_without_being_poked
    front = serve(APP, threads: 3)
    2.times { front.get("/nap") }
    front.gate("a")
    waiting = front.ask("/slow?a")
    assert_equal "/fast", front.get("/fast").headers["x-path"]
    front.pass("a")
    assert_equal waiting, front.frame.id
  end

  # On a machine that is short of everything, a request waits for a processor as others do for a database: then a fast one may pass.
  def test_after_requests_that_computed_the_lock_is_left_to_one_thread
    front = serve(APP, threads: 3)
    kept = ("a".."z").any? do |gate|
      3.times { front.get("/compute") }
      front.gate(gate)
      2.times { |i| front.ask(i.zero? ? "/slow?#{gate}" : "/fast") }
      quiet = !front.requests.wait_readable(0.05)
      front.pass(gate)
      2.times { front.frame }
      quiet
    end
    assert kept, "another thread took the request behind the one that waited"
  end

  def test_responses_say_whether_requests_wait_or_compute
    front = serve(APP, threads: 3)
    refute_predicate front.get("/fast").last, :eager?
    2.times { front.get("/nap") }
    assert_predicate front.get("/fast").last, :eager?
    assert((1..20).any? do # a busy machine lets a computation wait, too
      70.times { front.get("/compute") }
      !front.get("/fast").last.eager?
    end)
  end

  def test_requests_that_wait_for_a_processor_count_as_ones_that_compute
    spinners = Array.new(2 * Etc.nprocessors) { Process.spawn("ruby", "--disable-gems", "-e", "nil while true") }
    front = serve(APP, threads: 3)
    assert((1..10).any? do
      3.times { front.get("/compute") }
      !front.get("/compute").last.eager?
    end)
  ensure
    spinners.each { |pid| Process.kill(:KILL, pid) }.each { |pid| Process.wait(pid) }
  end

  def test_frames_may_arrive_in_pieces_of_any_size
    front = serve(APP)
    bytes = Array.new(20) { |i| front.request(i, "/#{i}", body: "x" * (i * 100)) }.join
    random = Random.new(42)
    front.requests.write(bytes.slice!(0, random.rand(1..97))) until bytes.empty?
    20.times { |i| assert_equal "/#{i}", front.response(i).headers["x-path"] } # in any order: an outbox may be looked into before the socket
  end

  def test_a_frame_may_arrive_byte_by_byte
    front = serve(APP)
    front.request(7, "/slowly", body: "body").each_char do |byte|
      front.requests.write(byte)
      sleep 0.0002 # to have the worker see every byte on its own; it must cope if it does not
    end
    assert_equal [7, "/slowly"], front.frame.then { |frame| [frame.id, frame.headers["x-path"]] }
  end

  def test_thousands_of_requests_on_many_threads_never_mix_their_frames
    app = <<~'RUBY'
      class Parts
        def initialize(name, count) @name, @count = name, count; end
        def each; @count.times { |i| Thread.pass if i.odd?; yield @name * (i % 7 + 1) }; end
      end
      run(lambda do |env|
        number = Integer(env["PATH_INFO"][1..])
        name = "<#{number}>"
        sleep 0.002 if (number % 50).zero?
        body = number.odd? ? [name * (number % 300)] : Parts.new(name, number % 20)
        [200, { "x-number" => number.to_s }, body]
      end)
    RUBY
    front = serve(app, threads: 5)
    total = 4000
    poker = Thread.new { loop { front.poke; sleep 0.001 } }
    writer = Thread.new { (1..total).each { |i| front.ask("/#{i}", id: i) } }
    bodies = read_all(front, total)
    assert_equal (1..total).to_a, bodies.keys.sort
    bodies.each { |number, body| assert_equal expected(number), body }
  ensure
    poker&.kill
    writer&.kill
  end

  def test_a_front_that_reads_late_loses_nothing
    front = serve("run ->(env) { [200, {}, [env['PATH_INFO'] * 5000]] }", threads: 4)
    writer = Thread.new { 200.times { |i| front.ask(format("/%03d", i), id: i) } }
    3.times { front.poke }
    sleep 0.05 # the worker fills the socket meanwhile; if it is slower than that, the test asks less and still holds
    bodies = read_all(front, 200)
    200.times { |i| assert_equal format("/%03d", i) * 5000, bodies[i] }
    writer.join
  end

  def test_a_thread_the_app_has_ended_is_replaced
    front = serve("run ->(env) { env['PATH_INFO'] == '/bad' ? Thread.exit : [200, {}, ['fine']] }", threads: 2)
    6.times { assert_equal 500, front.get("/bad").status }
    assert_equal "fine", front.get.body
    assert_equal 0, front.retire.exitstatus
  end

  private

  def poke_until_frame(front)
    loop do
      front.poke
      return front.frame(patience: 0.2)
    rescue Front::Timeout
      next
    end
  end

  # Pokes every now and then while the block waits for the app to reach a gate.
  def poke_while
    poker = Thread.new { loop { @fronts.last.poke; sleep 0.002 } }
    yield
  ensure
    poker.kill
  end

  def read_all(front, total)
    bodies = Hash.new { |hash, id| hash[id] = +"" }
    ended = 0
    while ended < total
      frame = front.frame
      bodies[frame.id] << frame.body if %i[response head chunk].include?(frame.name)
      ended += 1 if %i[response end].include?(frame.name)
    end
    bodies
  end

  def expected(number)
    name = "<#{number}>"
    return name * (number % 300) if number.odd?

    Array.new(number % 20) { |i| name * (i % 7 + 1) }.join
  end
end
