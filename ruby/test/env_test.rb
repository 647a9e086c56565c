# frozen_string_literal: true

require "rack"
require_relative "support/worker_test"

class EnvTest < WorkerTest
  # Answers with the env, written as Ruby.
  DUMP = <<~RUBY
    run(lambda do |env|
      shown = env.reject { |_, value| value.respond_to?(:call) || value.respond_to?(:read) || value.respond_to?(:puts) }
      [200, {}, [shown.inspect]]
    end)
  RUBY

  def env_of(front, *path, **options)
    eval(front.get(*path, **options).body)
  end

  def test_the_env_is_what_puma_gives
    env = env_of(serve(DUMP, threads: 5, workers: 2, index: 1, version: "1.2.3"), "/a%20b?x=1", HTTP_ACCEPT: "*/*")
    expected = {
      "rack.version" => [1, 6], "rack.multithread" => true, "rack.multiprocess" => true, "rack.run_once" => false,
      "rack.hijack?" => true, "SCRIPT_NAME" => "", "SERVER_SOFTWARE" => "serval 1.2.3",
      "GATEWAY_INTERFACE" => "CGI/1.2",
      "puma.request_body_wait" => 0.0, "serval.worker" => 1, "serval.version" => "1.2.3", "rack.after_reply" => [],
      "rack.response_finished" => [], "REQUEST_METHOD" => "GET", "REQUEST_URI" => "/a%20b?x=1", "PATH_INFO" => "/a%20b",
      "REQUEST_PATH" => "/a%20b", "QUERY_STRING" => "x=1", "SERVER_PROTOCOL" => "HTTP/1.1",
      "SERVER_NAME" => "localhost", "SERVER_PORT" => "9292",
      "REMOTE_ADDR" => "127.0.0.1", "rack.url_scheme" => "http",
      "HTTP_HOST" => "localhost:9292", "HTTP_ACCEPT" => "*/*"
    }
    expected["HTTP_VERSION"] = "HTTP/1.1" if Gem::Version.new(Rack.release) < Gem::Version.new("3.1")
    assert_equal expected, env
  end

  def test_one_thread_and_no_workers_are_told_as_such
    env = env_of(serve(DUMP, threads: 1, workers: 0))
    assert_equal [false, false], env.values_at("rack.multithread", "rack.multiprocess")
  end

  def test_a_script_name_in_the_environment_is_that_of_the_app
    assert_equal "/shop", env_of(serve(DUMP, env: { "SCRIPT_NAME" => "/shop" }))["SCRIPT_NAME"]
  end

  def test_the_settings_do_not_reach_the_app
    assert_equal "nil", serve('run ->(env) { [200, {}, [ENV["SERVAL_WORKER"].inspect]] }').get.body
  end

  def test_http_version_is_left_out_from_rack_3_1_on
    fronts = %w[2.2.9 3.0.9 3.1.0 10.0].map { |release| serve("def Rack.release; '#{release}'; end\n#{DUMP}") }
    assert_equal ["HTTP/1.1", "HTTP/1.1", nil, nil], fronts.map { |front| env_of(front)["HTTP_VERSION"] }
  end

  def test_a_version_header_of_the_client_is_no_version_of_the_protocol
    front = serve("def Rack.release; '2.2.9'; end\n#{DUMP}")
    assert_equal "HTTP/1.1", env_of(front, "/", HTTP_VERSION: "7")["HTTP_VERSION"]
    [["HTTP_VERSION", "SERVER_PROTOCOL=HTTP/1.1"], ["SERVER_PROTOCOL=HTTP/1.1", "HTTP_VERSION"],
     ["SERVER_PROTOCOL=HTTP/1.1", "HTTP_VERSION=7"]].each_with_index do |entries, i|
      define(front, i + 1, *entries, "HTTP_ACCEPT")
      values = entries.include?("HTTP_VERSION") ? ["7", "*/*"] : ["*/*"]
      env = eval(front.response(ask_in_shape(front, i + 1, *values)).body)
      assert_equal ["HTTP/1.1", "*/*"], env.values_at("HTTP_VERSION", "HTTP_ACCEPT")
    end
    assert_equal "7", env_of(serve("def Rack.release; '3.1.0'; end\n#{DUMP}"), "/", HTTP_VERSION: "7")["HTTP_VERSION"]
  end

  # --- shapes ---

  def test_a_shape_gives_the_same_env_as_pairs
    front = serve(DUMP)
    define(front, 7, "REQUEST_METHOD=GET", "PATH_INFO", "HTTP_COOKIE", "SERVER_PROTOCOL=HTTP/1.1", "HTTP_ACCEPT=*/*",
           "QUERY_STRING=", "serval.body_wait_ms")
    in_shape = ask_in_shape(front, 7, "/x", "a=1", "2.5")
    in_pairs = front.ask("/x", HTTP_COOKIE: "a=1", HTTP_ACCEPT: "*/*", "serval.body_wait_ms": "2.5")
    in_shape, in_pairs = [in_shape, in_pairs].map { |id| eval(front.response(id).body) }
    assert_equal "/x", in_shape["REQUEST_PATH"]
    assert_equal 2.5, in_shape["puma.request_body_wait"]
    assert_equal in_pairs.slice(*in_shape.keys), in_shape
    refute_includes in_pairs, "serval.body_wait_ms"
  end

  def test_a_shape_of_constants_alone_works
    front = serve(DUMP)
    define(front, 1, "REQUEST_METHOD=GET", "PATH_INFO=/", "HTTP_HOST=a")
    assert_equal "/", eval(front.response(ask_in_shape(front, 1)).body)["REQUEST_PATH"]
  end

  def test_nothing_in_a_shape_is_read_as_code
    nasty = ['HTTP_"#{exit!}', "HTTP_\\", 'HTTP_#$0', "HTTP_'", "HTTP_\n;exit!", "HTTP_\xff\xfe".b, 'HTTP_%"'].freeze
    front = serve(DUMP)
    define(front, 1, *nasty, *nasty.map { |name| "#{name}C=#{name}" }, "PATH_INFO")
    id = ask_in_shape(front, 1, *nasty, "/")
    env = eval(front.response(id).body)
    nasty.each do |name|
      assert_equal name.b, env[name].b, "the value of #{name}"
      assert_equal name.b, env["#{name}C".b].b, "the constant of #{name}"
    end
  end

  def test_a_constant_may_contain_an_equals_sign
    front = serve(DUMP)
    define(front, 1, "PATH_INFO=/", "HTTP_COOKIE=a=1; b=2")
    assert_equal "a=1; b=2", eval(front.response(ask_in_shape(front, 1)).body)["HTTP_COOKIE"]
  end

  def test_a_request_in_an_unknown_shape_ends_the_worker
    front = serve(DUMP)
    ask_in_shape(front, 99, "/")
    assert_equal 1, front.status.exitstatus
    assert_match(/shape 99, which it never defined/, front.log)
  end

  # --- what an app does to its env stays there ---

  def test_no_change_to_an_env_reaches_the_next_request
    front = serve(<<~RUBY)
      run(lambda do |env|
        accept = env["HTTP_ACCEPT"]
        hooks = env.values_at("rack.after_reply", "rack.response_finished").map(&:size)
        seen = [accept.dup, accept.encoding == Encoding::BINARY, hooks, env.key?("mine")]
        env["HTTP_ACCEPT"].force_encoding("UTF-8") << "changed"
        env["PATH_INFO"] << "changed"
        env["rack.after_reply"] << -> {}
        env["rack.response_finished"] << ->(*) {}
        env["mine"] = 1
        [200, {}, [seen.inspect]]
      end)
    RUBY
    define(front, 1, "REQUEST_METHOD=GET", "HTTP_ACCEPT=*/*", "PATH_INFO")
    2.times { assert_equal '["*/*", true, [0, 0], false]', front.response(ask_in_shape(front, 1, "/")).body }
  end

  def test_the_env_can_be_inspected_without_printing_the_world
    assert_operator serve("run ->(env) { [200, {}, [env.inspect]] }").get.body.bytesize, :<, 3000
  end

  # --- input ---

  def test_a_body_in_the_frame_can_be_read
    front = serve(<<~RUBY)
      run(lambda do |env|
        input = env["rack.input"]
        [200, {}, [input.read(3), input.gets, input.read, input.read.inspect, input.read(1).inspect]]
      end)
    RUBY
    assert_equal "abcdef\nghi\"\"nil", front.get("/", method: "POST", body: "abcdef\nghi").body
  end

  def test_a_body_is_binary_and_can_be_rewound
    front = serve("run ->(env) { i = env['rack.input']; a = i.read; i.rewind; [200, {}, [a.encoding.to_s, i.read]] }")
    assert_equal "ASCII-8BIT\xff".b, front.get("/", method: "POST", body: "\xff").body
  end

  def test_a_body_of_the_largest_size_in_a_frame_arrives_whole
    body = Random.new(1).bytes(64 * 1024)
    front = serve("run ->(env) { [200, {}, [env['rack.input'].read]] }")
    assert_equal body, front.get("/", method: "POST", body: body).body
  end

  def test_a_body_in_a_file_comes_on_the_control_socket
    front = serve(<<~RUBY)
      run(lambda do |env|
        input = env["rack.input"]
        first = input.read(4)
        input.rewind
        [200, {}, [first, input.size.to_s, input.read, input.class.to_s, input.external_encoding.to_s]]
      end)
    RUBY
    { first: true, second: false }.each_value do |file_first|
      id = front.next_id
      send_file = -> { File.open(front.write_file("body", "from a file")) { |file| front.tell("f", id, "", file) } }
      send_file.call if file_first
      front.ask("/", method: "POST", id: id, flags: 1)
      send_file.call unless file_first
      assert_equal "from11from a fileFileASCII-8BIT", front.response(id).body
    end
  end

  def test_a_body_that_does_not_arrive_is_an_error
    front = serve("run ->(env) { [200, {}, [env['rack.input'].read]] }")
    id = front.next_id
    front.tell("f", id, "")
    assert_equal 500, front.get("/", id: id, flags: 1).status
  end

  def test_body_files_are_closed
    front = serve("run ->(env) { [200, {}, [env['rack.input'].read]] }")
    count = lambda do
      id = front.next_id
      File.open(front.write_file("body", "x")) { |file| front.tell("f", id, "", file) }
      front.get("/", id: id, flags: 1)
      Dir.children("/proc/#{front.pid}/fd").size
    end
    before = count.call
    50.times { count.call }
    assert_operator count.call, :<=, before + 1
  end

  # --- Rack's own opinion ---

  def test_rack_lint_finds_nothing
    front = serve(<<~RUBY)
      require "rack/lint"
      use Rack::Lint
      run(lambda do |env|
        text = env["rack.input"].read
        env["rack.input"].rewind if Rack.release < "3"
        env["rack.input"].each { |line| text << line }
        text << env["rack.input"].gets.to_s
        env["rack.errors"].puts "fine"
        [200, { "content-type" => "text/plain" }, [text]]
      end)
    RUBY
    assert_equal ["", 200], front.get("/").then { |r| [r.body, r.status] }
    response = front.get("/a/b?c=d", method: "POST", body: "x=1", CONTENT_LENGTH: "3", CONTENT_TYPE: "text/plain")
    assert_equal [Rack.release < "3" ? "x=1x=1" : "x=1", 200], [response.body, response.status]
    # Since Rack 3 the body that Lint wraps can be had as an Array.
    assert_equal Rack.release < "3" ? %i[head end free] : %i[response free], front.get("/", method: "HEAD").names
    refute_match(/ERROR/, front.log)
  end

  private

  def define(front, number, *entries)
    front.send_bytes(Frame.bytes(:define, 0, code: number, head: entries.map { |entry| "#{entry}\0".b }.join))
  end

  def ask_in_shape(front, number, *values)
    id = front.next_id
    front.send_bytes(Frame.bytes(:request, id, code: number, head: values.map { |value| "#{value}\0".b }.join))
    id
  end
end
