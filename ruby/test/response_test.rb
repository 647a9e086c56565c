# frozen_string_literal: true

require_relative "support/worker_test"
require "digest"

class ResponseTest < WorkerTest
  LIMIT = 256 * 1024 # bytes that travel in frames

  def answer(ruby, **settings)
    serve("run ->(env) { #{ruby} }", **settings)
  end

  # A body that only has `each`, and the file log.txt that tells what became of it.
  EACH = <<~RUBY
    class Parts
      def initialize(*parts, log: nil)
        @parts = parts
        @log = log
      end

      def each
        @parts.each { |part| yield(part.respond_to?(:call) ? part.call : part) }
      ensure
        note("left")
      end

      def close
        note("closed")
      end

      def note(word)
        File.write(@log, word + "\\n", mode: "a") if @log
      end
    end
  RUBY

  # --- arrays ---

  def test_an_array_goes_out_as_one_frame
    front = answer('[201, { "content-type" => "text/plain", "x-a" => "b" }, ["Hello, ", "world"]]')
    response = front.get
    assert_equal [:response], response.names
    assert_equal 201, response.status
    assert_equal({ "content-type" => "text/plain", "x-a" => "b" }, response.headers)
    assert_equal "Hello, world", response.body
    assert_equal 0, response.last.flags
  end

  def test_an_empty_array_is_an_empty_body
    response = answer("[200, {}, []]").get
    assert_equal [[:response], "", {}], [response.names, response.body, response.headers]
  end

  def test_parts_that_are_no_strings_are_turned_into_some
    assert_equal "1two", answer("[200, {}, [1, nil, :two]]").get.body
  end

  def test_parts_of_all_encodings_go_out_by_bytes
    headers = '{ "x-name" => "J\u00fcrgen", "x-raw" => "\xff\xfe".b }'
    response = answer("[200, #{headers}, " + '["\u00e9", "\xff".b, "\u00e9".encode("UTF-16LE")]]').get
    assert_equal "\xc3\xa9\xff\xe9\x00".b, response.body
    assert_equal({ "x-name" => "J\xc3\xbcrgen".b, "x-raw" => "\xff\xfe".b }, response.headers)
  end

  def test_a_long_array_goes_over_a_stream_with_its_length
    front = answer("[200, {}, ['a' * 200_000, 'b' * 200_000, 'c' * 200_000]]")
    response = front.get
    assert_equal %i[head stream end], response.names.values_at(0, -2, -1)
    assert_equal "600000", response.headers["content-length"]
    assert_equal "a" * 200_000 + "b" * 200_000 + "c" * 200_000, response.body
  end

  def test_a_long_string_goes_over_a_stream_from_its_first_byte
    front = answer("[200, { 'Content-Length' => '1000000' }, ['x' * 1_000_000]]")
    response = front.get
    assert_equal %i[head stream end], response.names
    assert_equal({ "Content-Length" => "1000000" }, response.headers)
    assert_equal 1_000_000, response.body.bytesize
  end

  def test_a_body_of_just_the_limit_still_fits_a_frame
    assert_equal [:response], answer("[200, {}, ['x' * #{LIMIT}]]").get.names
  end

  # --- statuses ---

  def test_a_status_in_words_counts_by_its_number
    assert_equal 404, answer('["404", {}, []]').get.status
  end

  def test_a_status_without_a_body_never_runs_the_body
    front = serve(EACH + "run ->(env) { [Integer(env['PATH_INFO'][1..]), {}, Parts.new(-> { raise 'run' })] }")
    [204, 304, 103].each do |status|
      response = front.get("/#{status}")
      assert_equal [status, ""], [response.status, response.body]
    end
    refute_match(/run/, front.log)
  end

  # --- headers ---

  def test_several_values_of_a_header_are_separated_by_newlines
    response = answer('[200, { "set-cookie" => %w[a=1 b=2], "x-lines" => "one\ntwo" }, []]').get
    assert_equal [["set-cookie", "a=1\nb=2"], ["x-lines", "one\ntwo"]], response.last.pairs
  end

  def test_values_that_are_no_strings_are_turned_into_some
    response = answer('[200, { "content-length" => 2, "x-nil" => nil, :"x-sym" => :yes }, ["ab"]]').get
    assert_equal({ "content-length" => "2", "x-nil" => "", "x-sym" => "yes" }, response.headers)
  end

  def test_a_nul_leaves_its_header_out_and_the_others_alone
    response = answer('[200, { "x-a" => "1", "x-b" => "2\0x-evil\0yes", "x\0y" => "3", "x-c" => "4" }, []]').get
    assert_equal({ "x-a" => "1", "x-c" => "4" }, response.headers)
  end

  def test_headers_for_the_server_stay_here
    response = answer('[200, { "rack.something" => [1], "x-a" => "1" }, []]').get
    assert_equal({ "x-a" => "1" }, response.headers)
  end

  def test_headers_may_be_frozen_or_a_list_of_pairs
    assert_equal({ "x-a" => "1" }, answer('[200, { "x-a" => "1" }.freeze, []].freeze').get.headers)
    assert_equal({ "x-a" => "1" }, answer('[200, [["x-a", "1"]], []]').get.headers)
  end

  def test_a_response_may_have_hundreds_of_headers
    response = answer('[200, (1..300).to_h { |i| ["x-#{i}", i.to_s] }, ["ok"]]').get
    assert_equal (1..300).to_h { |i| ["x-#{i}", i.to_s] }, response.headers
  end

  # --- enumerables ---

  def test_an_enumerable_goes_out_part_by_part
    front = serve(EACH + 'run ->(env) { [200, {}, Parts.new("one", "", nil, "two", "three")] }')
    response = front.get
    assert_equal %i[head chunk chunk end free], response.names
    assert_equal %w[one two three], response.frames.first(3).map(&:body)
  end

  def test_each_part_arrives_before_the_next_one_is_asked_for
    front = serve(EACH + "run ->(env) { [200, {}, Parts.new('0', *[-> { File.read('gate') }] * 2)] }")
    front.gate("gate")
    front.ask
    assert_equal [:head, "0"], front.frame.then { |frame| [frame.name, frame.body] }
    front.pass("gate", "1")
    assert_equal [:chunk, "1"], front.frame.then { |frame| [frame.name, frame.body] }
    front.pass("gate", "2")
    assert_equal [:chunk, "2"], front.frame.then { |frame| [frame.name, frame.body] }
    assert_equal :end, front.frame.name
  end

  def test_an_enumerable_without_parts_is_a_whole_response
    response = serve(EACH + "run ->(env) { [200, {}, Parts.new] }").get
    assert_equal [%i[response free], ""], [response.names, response.body]
  end

  def test_an_enumerable_of_known_small_length_goes_out_as_one_frame
    response = serve(EACH + 'run ->(env) { [200, { "Content-Length" => "6" }, Parts.new("one", "two")] }').get
    assert_equal [%i[response free], "onetwo"], [response.names, response.body]
  end

  def test_a_buffer_that_is_used_for_each_part_again_does_no_harm
    app = <<~RUBY
      class Reused
        def each
          buffer = +""
          %w[one two three].each { |word| yield buffer.replace(word) }
        end
      end
      run ->(env) { [200, env["QUERY_STRING"].empty? ? {} : { "content-length" => "11" }, Reused.new] }
    RUBY
    front = serve(app)
    assert_equal %w[onetwothree onetwothree], [front.get("/").body, front.get("/?known").body]
  end

  def test_an_enumerable_longer_than_it_said_is_sent_all_the_same
    response = serve(EACH + 'run ->(env) { [200, { "content-length" => "3" }, Parts.new("one", "two")] }').get
    assert_equal [%i[head end free], "onetwo"], [response.names, response.body]
  end

  def test_a_long_enumerable_goes_on_over_a_stream
    front = serve(EACH + "run ->(env) { [200, {}, Parts.new(*Array.new(100) { |i| i.chr * 10_000 })] }")
    response = front.get
    assert_equal [:head, *[:chunk] * 25, :stream, :end, :free], response.names
    assert_equal Array.new(100) { |i| i.chr * 10_000 }.join, response.body
  end

  def test_a_stream_ends_though_a_forked_process_holds_it
    front = serve(<<~RUBY)
      run ->(env) { [200, {}, Enumerator.new { |y| y << "x" * 300_000; $child = fork { sleep }; y << "end" }] }
      at_exit { Process.kill(:KILL, $child) if $child }
    RUBY
    assert_equal 300_003, front.get("/").body.bytesize
    front.retire # so that it ends its child
  end

  def test_a_client_that_leaves_a_stream_ends_the_body
    front = serve(EACH + "run ->(env) { [200, {}, Parts.new(*['x' * 100_000] * 1000, log: 'log.txt')] }")
    front.ask
    frame = front.frame until frame&.name == :stream
    frame.io.close
    assert_equal [:end, Frame::BUSY | Frame::ABORT], front.frame.then { |last| [last.name, last.flags] }
    assert_equal :free, front.frame.name
    assert_equal "left\nclosed\n", File.read(File.join(front.directory, "log.txt"))
  end

  def test_a_body_with_to_ary_counts_as_an_array
    app = <<~RUBY
      wrap = lambda do |app|
        lambda do |env|
          status, headers, body = app.call(env)
          [status, headers, Rack::BodyProxy.new(body) { File.write("log.txt", "closed") }]
        end
      end
      run wrap.call(->(env) { [200, {}, %w[one two]] })
    RUBY
    front = serve(app)
    response = front.get
    assert_equal [%i[response free], "onetwo"], [response.names, response.body]
    assert_equal "closed", File.read(File.join(front.directory, "log.txt"))
  end

  def test_a_body_whose_to_ary_gives_nil_is_enumerated
    app = EACH + 'class Parts; def to_ary; end; end; run ->(env) { [200, {}, Parts.new("one", "two")] }'
    response = serve(app).get
    # Rack 3's to_ary may close a body that can be, so that is not asked there.
    assert_includes [%i[head chunk end free], %i[response free]], response.names
    assert_equal "onetwo", response.body
  end

  def test_events_get_their_head_and_a_stream_before_the_first_one_is_there
    front = serve(EACH + <<~RUBY)
      run ->(env) { [200, { "content-type" => "text/event-stream" }, Parts.new(-> { File.read("gate") })] }
    RUBY
    front.gate("gate")
    front.ask
    assert_equal [:head, ""], front.frame.then { |frame| [frame.name, frame.body] }
    stream = front.frame.io
    front.pass("gate", "data: 1\n\n")
    assert_equal "data: 1\n\n", stream.read
    assert_equal %i[end free], [front.frame.name, front.frame.name]
  end

  def test_a_client_that_leaves_an_endless_body_of_little_parts_ends_it
    front = serve(EACH + <<~RUBY)
      class Parts; def each; loop { yield "tick"; sleep 0.01 }; ensure note("left"); end; end
      run ->(env) { [200, {}, Parts.new(log: "log.txt")] }
    RUBY
    front.ask
    frame = front.frame until frame&.name == :stream # after a second
    assert_equal "tick", frame.io.readpartial(4)
    frame.io.close
    assert_equal [:end, Frame::BUSY | Frame::ABORT], front.frame.then { |last| [last.name, last.flags] }
    assert_equal :free, front.frame.name
    assert_equal "left\nclosed\n", File.read(File.join(front.directory, "log.txt"))
  end

  # --- Rack 3 ---

  def test_under_rack_3_a_body_with_to_ary_is_closed_after_the_response_only
    front = serve(<<~RUBY)
      def Rack.release; "3.1.0"; end
      class Body
        def to_ary; raise "would close it"; end
        def each; yield "one"; yield "two"; end
        def close; File.read("gate"); File.write("closed", "x", mode: "a"); end
      end
      run ->(env) { [200, {}, Body.new] }
    RUBY
    front.gate("gate")
    front.ask
    assert_equal [:response, "onetwo"], front.frame.then { |frame| [frame.name, frame.body] }
    front.pass("gate")
    assert_equal :free, front.frame.name
    assert_equal "x", File.read(File.join(front.directory, "closed"))
  end

  # --- files ---

  def test_a_body_with_a_path_is_sent_as_a_file
    files = { "big.txt" => "x" * 300_000 }
    response = answer('[200, { "content-type" => "text/plain" }, File.open("big.txt")]', files: files).get
    assert_equal %i[file free], response.names # the app's File wants to be closed
    assert_equal "text/plain", response.headers["content-type"]
    assert_equal 300_000, response.body.bytesize
  end

  def test_rack_files_is_sent_as_a_file
    front = serve('require "rack/files"; run Rack::Files.new(Dir.pwd)', files: { "a.txt" => "content of a" })
    response = front.get("/a.txt")
    assert_equal [%i[file free], 200, "content of a"], [response.names, response.status, response.body]
  end

  def test_a_range_of_a_file_is_sent_part_by_part
    front = serve('require "rack/files"; run Rack::Files.new(Dir.pwd)', files: { "a.txt" => "content of a" })
    response = front.get("/a.txt", HTTP_RANGE: "bytes=8-9")
    assert_equal [206, "of"], [response.status, response.body]
  end

  PATHED = 'Class.new { def to_path; %s; end; def each; yield "from each"; end }.new'

  def test_a_path_that_cannot_be_sent_falls_back_to_each
    [ '"missing"', "nil", '"."', '"fifo"', "1", '"a\0b"' ].each do |path|
      front = answer("[200, {}, #{format(PATHED, path)}]")
      File.mkfifo(File.join(front.directory, "fifo"))
      assert_equal "from each", front.get.body, path
    end
  end

  def test_files_leave_no_descriptor_open
    front = answer('[200, {}, ' + format(PATHED, '"a.txt"') + "]", files: { "a.txt" => "a" })
    front.get
    before = Dir.children("/proc/#{front.pid}/fd").size
    50.times { front.get }
    assert_operator Dir.children("/proc/#{front.pid}/fd").size, :<=, before + 1 # the last one may be about to close
  end

  # --- HEAD ---

  def test_head_never_runs_an_enumerable
    front = serve(EACH + 'run ->(env) { [200, { "x-a" => "1" }, Parts.new(-> { raise "run" }, log: "log.txt")] }')
    response = front.get("/", method: "HEAD")
    assert_equal [%i[head end free], "", { "x-a" => "1" }], [response.names, response.body, response.headers]
    assert_equal "closed\n", File.read(File.join(front.directory, "log.txt"))
  end

  def test_head_of_an_array_keeps_the_body_for_its_length
    assert_equal "Hello", answer('[200, {}, ["Hello"]]').get("/", method: "HEAD").body
  end

  def test_head_never_calls_a_streaming_body
    response = answer('[200, {}, ->(stream) { raise "run" }]').get("/", method: "HEAD")
    assert_equal %i[head end], response.names
  end
end
