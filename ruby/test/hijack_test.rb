# frozen_string_literal: true

require_relative "support/worker_test"

class HijackTest < WorkerTest
  FULL = <<~RUBY
    run(lambda do |env|
      io = env["rack.hijack"].call
      raise "two sockets" unless io.equal?(env["rack.hijack_io"]) && io.equal?(env["rack.hijack"].call)
      io.write("got \#{io.readpartial(100)} on a \#{io.class}")
      io.close
      [200, { "x-ignored" => "1" }, ["ignored"]]
    end)
  RUBY

  def test_full_hijack_hands_the_socket_to_the_app
    front = serve(FULL)
    id = front.ask
    assert_equal [:hijack, id], front.frame.then { |frame| [frame.name, frame.id] }
    here, there = UNIXSocket.pair
    front.tell("h", id, "", there)
    there.close
    here.write("hello")
    assert_equal "got hello on a UNIXSocket", here.read
    assert_equal :free, front.frame.name
  end

  def test_a_tcp_client_arrives_as_a_tcp_socket
    front = serve(FULL)
    server = TCPServer.new("127.0.0.1", 0)
    client = TCPSocket.new("127.0.0.1", server.addr[1])
    accepted = server.accept
    id = front.ask
    front.frame
    front.tell("h", id, "", accepted)
    [accepted, server].each(&:close)
    client.write("hello")
    assert_equal "got hello on a TCPSocket", client.read
  ensure
    client&.close
  end

  def test_bytes_the_front_had_read_come_first
    front = serve(FULL.sub("readpartial(100)", "read(10)"))
    id = front.ask
    front.frame
    here, there = UNIXSocket.pair
    front.tell("h", id, "early", there)
    there.close
    here.write("later")
    assert_equal "got earlylater on a UNIXSocket", here.read
  end

  def test_a_client_that_has_left_gives_a_socket_at_its_end
    front = serve(<<~RUBY)
      run(lambda do |env|
        io = env["rack.hijack"].call
        File.write("seen", io.read.inspect + (io.write("x") rescue $!.class.to_s))
        [200, {}, []]
      end)
    RUBY
    id = front.ask
    front.frame
    front.tell("h", id)
    assert_equal :free, front.frame.name
    assert_equal '""Errno::EPIPE', File.read(File.join(front.directory, "seen"))
  end

  def test_the_body_of_a_hijacked_answer_is_closed_and_nothing_of_it_sent
    front = serve(<<~RUBY)
      body = Object.new
      def body.each; raise "run"; end
      def body.close; File.write("closed", "x", mode: "a"); end
      run ->(env) { env["rack.hijack"].call.close; [200, {}, body] }
    RUBY
    id = front.ask
    front.frame
    front.tell("h", id)
    assert_equal [:free], front.response(id).names
    assert_equal "x", File.read(File.join(front.directory, "closed"))
  end

  def test_an_app_that_raises_after_its_hijack_gets_into_the_log_only
    front = serve('run ->(env) { env["rack.hijack"].call.close; raise "after the hijack" }')
    id = front.ask
    front.frame
    front.tell("h", id)
    assert_equal [:free], front.response(id).names
    assert_match(/after the hijack/, front.log)
  end

  def test_an_app_that_hijacks_may_answer_nothing
    front = serve('run ->(env) { env["rack.hijack"].call.close; nil }')
    id = front.ask
    front.frame
    front.tell("h", id)
    assert_equal [:free], front.response(id).names
    refute_match(/ERROR/, front.log)
  end

  def test_hijacking_after_the_response_is_refused
    front = serve(<<~RUBY)
      run(lambda do |env|
        env["rack.after_reply"] << -> { env["rack.hijack"].call }
        [200, {}, ["ok"]]
      end)
    RUBY
    assert_equal %i[response free], front.get.names
    assert_match(/too late to hijack/, front.log)
  end

  # --- partial ---

  PARTIAL = {
    "a rack.hijack header" => '[101, { "x-a" => "1", "rack.hijack" => talk }, []]',
    "a body that is called" => '[101, { "x-a" => "1" }, talk]'
  }.freeze

  PARTIAL.each do |kind, answer|
    define_method("test_#{kind.tr(" .", "__")}_gets_the_socket_after_the_head") do
      front = serve(<<~RUBY)
        talk = ->(io) { io.write("got \#{io.readpartial(100)} on a \#{io.class}"); io.close }
        run ->(env) { #{answer} }
      RUBY
      id = front.ask
      head = front.frame
      assert_equal [:head, 101, Frame::HIJACK_FLAG, { "x-a" => "1" }], [head.name, head.code, head.flags, head.headers]
      here, there = UNIXSocket.pair
      front.tell("h", id, "", there)
      there.close
      here.write("hello")
      assert_equal "got hello on a UNIXSocket", here.read
      assert_equal :free, front.frame.name
    end
  end

  def test_a_takeover_that_raises_closes_the_socket
    front = serve('run ->(env) { [200, {}, ->(io) { raise "no talk today" }] }')
    id = front.ask
    front.frame
    here, there = UNIXSocket.pair
    front.tell("h", id, "", there)
    there.close
    assert_equal "", here.read
    assert_equal :free, front.frame.name
    assert_match(/no talk today/, front.log)
  end

  def test_a_rack_hijack_header_that_cannot_be_called_is_an_error
    front = serve('run ->(env) { [200, { "rack.hijack" => 1 }, []] }')
    assert_equal 500, front.get.status
    assert_match(/rack\.hijack, Integer, has no method call/, front.log)
  end
end
