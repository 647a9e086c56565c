# frozen_string_literal: true

require_relative "support/worker_test"
require_relative "../lib/serval/requests"
require_relative "../lib/serval/responder"
require_relative "../lib/serval/accelerator"

# What goes into the outbox, and what by the socket.
class OutboxTest < WorkerTest
  LIBRARY = Serval::Accelerator::Library.new(Front::LIBRARIES)

  # An exchange as responder.rb knows it.
  Request = Struct.new(:id, :last_flags) do
    def head?
      false
    end

    def hint
      @hinted = true
    end
  end

  def setup
    LIBRARY.build
    LIBRARY.load
    @front, worker = UNIXSocket.pair
    requests = Serval::Requests.new(worker)
    @responder = Serval::Responder.new(requests, rack: "2.2.9")
    requests.share_outbox(@responder.accelerate)
    _, _, _, rights = @front.recvmsg(100, 0, 100, scm_rights: true)
    @file = rights.unix_rights.first
    @file.autoclose = false
  end

  def teardown
    @front.close
  end

  # As the front takes it into use.
  def outbox
    @outbox ||= Outbox.new(File.for_fd(@file.fileno, "r+b"))
  end

  def answer(body = "x", request = Request.new(1, 0))
    @responder.respond(request, 200, {}, [body])
  end

  # The next frame of the socket, nil if there is none.
  def sent
    bytes = @front.recv_nonblock(300_000, exception: false)
    Frame.take(bytes) unless bytes == :wait_readable
  end

  def test_a_front_that_knows_of_none_gets_everything_by_the_socket
    3.times do
      answer
      assert_equal "x", sent.body
    end
  end

  def test_while_the_front_is_awake_responses_take_no_system_call
    outbox.wake
    answer("first")
    answer("second")
    assert_nil sent
    assert_equal %w[first second], [outbox.take, outbox.take].map(&:body)
    assert_nil outbox.take
  end

  def test_a_front_that_sleeps_is_woken_by_the_response_itself_and_not_by_those_after_it
    outbox.doze
    answer("wakes")
    answer("follows")
    assert_equal [:response, "wakes"], sent.then { |frame| [frame.name, frame.body] }
    assert_nil sent
    assert_equal "follows", outbox.take.body
  end

  def test_what_must_not_overtake_goes_by_the_socket
    outbox.wake
    hinted = Request.new(1, 0).tap(&:hint)
    [["busy", Request.new(1, Frame::BUSY)], ["hinted", hinted], ["x" * 200_000, Request.new(1, Frame::BUSY)]].each do |body, request|
      answer(body, request)
      assert_equal body, sent.body
    end
    answer("eager", Request.new(1, Frame::EAGER))
    assert_equal "eager", outbox.take.body
  end

  # As those of Rails, and of whatever is in Rack::BodyProxy.
  def test_bodies_that_are_arrays_inside_go_there_as_well
    outbox.wake
    body = Class.new { def to_ary; ["in", "side"]; end }.new # rubocop:disable Style/SingleLineMethods
    @responder.respond(Request.new(1, 0), 200, {}, body)
    assert_equal "inside", outbox.take.body
  end

  def test_what_finds_no_room_goes_by_the_socket
    outbox.wake
    answer("a" * 100_000) while (frame = sent).nil?
    assert_equal 100_000, frame.body.bytesize
    kept = []
    while (frame = outbox.take)
      kept << frame.body.bytesize
    end
    assert_equal [100_000] * 10, kept
    answer("again")
    assert_equal "again", outbox.take.body
  end

  def test_frames_of_all_sizes_lie_whole_in_it_wherever_it_ends
    outbox.wake
    random = Random.new(5)
    by_socket = 0
    2000.times do |i|
      bodies = Array.new(random.rand(1..2)) { (97 + i % 26).chr * random.rand([100, 15_000, 100_000].sample(random: random)) }
      bodies.each { |body| answer(body) }
      have = bodies.map { outbox.take || sent.tap { by_socket += 1 } }
      assert_equal bodies.sort, have.map(&:body).sort
    end
    assert_operator by_socket, :<, 200
  end

  def test_a_process_that_was_forked_uses_the_socket
    outbox.wake
    pid = fork do
      answer("of the child")
      exit!(0)
    end
    Process.wait(pid)
    assert_equal "of the child", sent.body
    assert_nil outbox.take
  end

  def test_memory_far_into_it_is_touched_only_when_the_front_does_not_keep_up
    outbox.wake
    400.times do
      answer("x" * 1000)
      outbox.take
    end
    assert_operator @outbox.blocks, :<=, (4096 + 65_536 + 8192) / 512
    300.times { answer("x" * 1000) }
    assert_operator @outbox.blocks, :>, 200_000 / 512
  end

  # As under `ulimit -f`, which would end the process.
  def test_where_files_must_not_be_that_long_there_is_none
    pid = fork do
      Process.setrlimit(:FSIZE, 300_000)
      requests = Serval::Requests.new(UNIXSocket.pair[0])
      exit!(requests.sender.outbox.nil?)
    end
    assert_predicate Process.wait2(pid).last, :success?
  end

  def test_the_memory_cannot_be_cut
    assert_raises(SystemCallError) { File.for_fd(@file.fileno, "r+b", autoclose: false).truncate(0) }
  end
end
