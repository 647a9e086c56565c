# frozen_string_literal: true

require_relative "support/worker_test"
require_relative "../lib/serval/settings"
require_relative "../lib/serval/env"
require_relative "../lib/serval/requests"
require_relative "../lib/serval/responder"
require_relative "../lib/serval/accelerator"

class AcceleratorTest < WorkerTest
  SEED = Integer(ENV.fetch("SEED", Random.new_seed % 1_000_000))
  LIBRARY = Serval::Accelerator::Library.new(Front::LIBRARIES)

  # An exchange as env.rb and responder.rb know it.
  class Request
    attr_accessor :id, :env

    def last_flags
      id % 16
    end

    def hint(_); end

    def head?
      false
    end
  end

  def setup
    LIBRARY.build
    LIBRARY.load
    @random = Random.new(SEED)
  end

  # --- the twins ---

  def test_both_twins_make_the_same_env_of_any_frame
    twins = %w[2.2.9 3.1.0].flat_map { |rack| [false, true].map { |hints| twin_envs(rack, hints) } }
    400.times do |i|
      keys = shape
      twins.each do |pair|
        pair.each { |env| env.define(1, words(keys)) }
        3.times do
          bytes = frame(keys.reject { |key| key.include?("=") }, (i * 10_007_001) % (1 << 32))
          assert_same_env(*pair.map { |env| Request.new.tap { |request| env.build(1, bytes.dup, request) } })
        end
      end
    end
  end

  def test_a_frame_with_too_few_values_is_read_alike
    pair = twin_envs("2.2.9", false)
    pair.each { |env| env.define(1, words(%w[PATH_INFO HTTP_A HTTP_B serval.body_wait_ms])) }
    ["", "/", "/\0", "/\0a", "/\0a\0\0"].each do |head|
      bytes = Serval::Wire.frame(Serval::Wire::REQUEST, 1, code: 1, head: head)
      assert_same_env(*pair.map { |env| Request.new.tap { |request| env.build(1, bytes, request) } })
    end
  end

  def test_shapes_that_were_defined_before_are_built_in_c_as_well
    env = Serval::Env.new(Serval::Settings.new(""), rack: "2.2.9")
    env.define(7, words(%w[PATH_INFO REQUEST_METHOD=GET]))
    env.accelerate
    request = Request.new
    env.build(7, Serval::Wire.frame(Serval::Wire::REQUEST, 9, code: 7, head: "/x\0"), request)
    assert_equal [9, "/x", "/x", "GET"], [request.id, *request.env.values_at("PATH_INFO", "REQUEST_PATH", "REQUEST_METHOD")]
    assert_raises(KeyError) { env.build(8, Serval::Wire.frame(Serval::Wire::REQUEST, 9, code: 8), Request.new) }
  end

  def test_both_twins_write_the_same_bytes_for_any_response
    plain, accelerated = [false, true].map { |fast| wired(fast) }
    2000.times do |i|
      status, headers, body = response
      have = [plain, accelerated].map { |responder, socket| answer(responder, socket, i, status, headers, body) }
      assert_equal have[0], have[1], "SEED=#{SEED}: #{[status, headers, body].inspect[0, 500]}"
    end
  end

  # Answers with all it sees, in a response of the request's choosing.
  SEEN = <<~RUBY
    run(lambda do |env|
      seen = env.map do |key, value|
        value = value.read if key == "rack.input"
        value = value.class if value.respond_to?(:call) || value.respond_to?(:puts)
        [key, key.encoding, value, value.frozen?, (value.encoding if value.is_a?(String))]
      end
      raise "as was asked for" if env["HTTP_RAISE"]
      headers = env["HTTP_ODD"] ? { "a" => %w[b c] } : { "content-type" => "text/plain", "x" => env["HTTP_HOST"].to_s.delete("\0") }
      [200, headers, [seen.inspect] * (env["HTTP_LONG"] ? 30 : 1)]
    end)
  RUBY

  def test_workers_of_both_kinds_answer_any_frames_alike_however_they_are_cut
    fronts = %w[off on].map { |wish| serve(SEEN, accelerator: wish, threads: 1) }
    150.times do
      keys = (shape + ["HTTP_RAISE", "HTTP_ODD", "HTTP_LONG"].select { @random.rand < 0.1 }).uniq
      bytes = Frame.bytes(:define, 0, code: 1 + @random.rand(3), head: words(keys))
      number = bytes.unpack1("@6n")
      ids = Array.new(1 + @random.rand(5)) { |i| @random.rand(1 << 32) / 8 * 8 + i }
      bytes += ids.map { |id| frame(keys.reject { |key| key.include?("=") }, id, number) }.join
      have = fronts.map do |front|
        cuts = Array.new(@random.rand(4)) { @random.rand(bytes.bytesize) }.sort
        [0, *cuts, bytes.bytesize].each_cons(2) { |from, to| front.send_bytes(bytes.byteslice(from...to)) }
        ids.map { |id| front.response(id).then { |found| [found.status, found.headers, found.body.gsub(/0x\h+/, "0x")] } }
      end
      assert_equal have[0], have[1], "SEED=#{SEED}"
    end
  end

  def test_the_usual_response_is_written_in_c
    accelerated, = wired(true)
    request = Request.new.tap { |r| r.id = 1 }
    sender = accelerated.instance_variable_get(:@sender)
    assert sender.respond(request, 200, { "content-type" => "text/plain" }, ["Hello\n"])
    assert sender.respond(request, 200, Class.new(Hash)["a", "b"], [])
    assert sender.respond(request, 200, {}, ["x" * 100_000])
    overridden = Class.new(Hash) { def flatten(*); end } # rubocop:disable Lint/UselessMethodDefinition
    [["200", {}, []], [99, {}, []], [200, {}, ["x" * 16_385, ""]], [200, {}, ["x" * 262_145]], [200, { "a" => 1 }, []], [200, { "a\0" => "" }, []], [200, [], []],
     [200, {}, [nil]], [200, {}, Class.new(Array).new], [200, {}, "x"], [200, overridden["a", "b"], []]].each do |response|
      refute sender.respond(request, *response), response.inspect[0, 100]
    end
  end

  def test_frames_of_many_threads_never_mix_though_the_socket_is_full
    responder, socket, worker = wired(true, room: 4000) # so little that frames go in pieces
    sizes = Array.new(50) { |n| n % 10 == 9 ? n * 1000 : n * 300 }
    writers = Array.new(8) do |i|
      Thread.new do
        50.times { |n| responder.respond(Request.new.tap { |r| r.id = i }, 200, {}, [(97 + i).chr * sizes[n]]) }
      end
    end
    Thread.new { writers.each(&:join) && worker.close }
    bytes = String.new
    # Little by little: there is room for a small frame before there is enough to wake who waits in the middle of a large one.
    while (piece = socket.read(500))
      bytes << piece
    end
    seen = Array.new(8) { [] }
    while (frame = Frame.take(bytes))
      seen[frame.id] << frame.body
    end
    8.times { |i| assert_equal sizes.map { |size| (97 + i).chr * size }, seen[i] }
  end

  def test_a_front_that_is_gone_is_no_error
    responder, socket = wired(true)
    socket.close
    2.times { responder.respond(Request.new.tap { |r| r.id = 1 }, 200, {}, ["x"]) }
    pass
  end

  def test_garbage_may_be_collected_and_memory_moved_at_any_moment
    env = twin_envs("2.2.9", true)[1]
    responder, socket = wired(true)
    env.define(1, words(%w[PATH_INFO HTTP_A HTTP_B=constant serval.body_wait_ms]))
    begin
      GC.stress = true
      20.times do |i|
        request = Request.new
        env.build(1, Serval::Wire.frame(Serval::Wire::REQUEST, i, code: 1, head: "/#{i}\0#{"a" * 100}\x001.5\0"), request)
        responder.respond(request, 200, { "a" => request.env["PATH_INFO"] }, [request.env["HTTP_A"]])
        GC.stress = false
        GC.compact if GC.respond_to?(:compact)
        assert_equal ["/#{i}", "a" * 100, "constant", 1.5],
                     request.env.values_at("PATH_INFO", "HTTP_A", "HTTP_B", "puma.request_body_wait")
        assert_equal "a\0/#{i}\0#{"a" * 100}", socket.readpartial(1000).byteslice(16..-1)
        GC.stress = true
      end
    ensure
      GC.stress = false
    end
  end

  # --- the library ---

  def test_it_is_compiled_once
    Dir.mktmpdir do |directory|
      libraries = Array.new(4) { Serval::Accelerator::Library.new(directory) }
      refute libraries[0].there?
      libraries.map { |library| Thread.new { library.build } }.each(&:join)
      file = Dir.glob("#{directory}/*/accelerator.*").first
      inode = File.stat(file).ino
      libraries.each(&:build)
      assert_equal inode, File.stat(file).ino
      assert_equal %w[accelerator.so lock], Dir.children(File.dirname(file)).sort
      assert_equal [0o700, 0o700], [file, File.dirname(file)].map { |path| File.stat(path).mode & 0o777 }
    end
  end

  def test_a_file_that_others_could_have_put_there_is_not_loaded
    Dir.mktmpdir do |directory|
      library = Serval::Accelerator::Library.new(directory)
      library.build
      file = Dir.glob("#{directory}/*/accelerator.*").first
      [file, File.dirname(file)].each do |path|
        File.chmod(0o770, path)
        assert_match(/can be written by others/, assert_raises(Serval::Accelerator::Library::Error) { library.load }.message)
        File.chmod(0o700, path)
      end
      File.rename(file, "#{file}.away")
      File.symlink("#{file}.away", file)
      assert_raises(Serval::Accelerator::Library::Error) { library.load }
    end
  end

  def test_a_compiler_that_fails_is_not_asked_again_at_once
    Dir.mktmpdir do |directory|
      library = Serval::Accelerator::Library.new(directory)
      error = with_config("CC", "ls --no-such-option") { assert_raises(Serval::Accelerator::Library::Error) { library.build } }
      assert_match(/\Athe C compiler failed: ls: .*no-such-option/, error.message)
      assert_equal error.message, assert_raises(Serval::Accelerator::Library::Error) { library.build }.message
      File.utime(0, 0, *Dir.glob("#{directory}/*/failure"))
      library.build
      assert library.there?
    end
  end

  def test_a_compiler_that_was_ended_is_asked_again
    Dir.mktmpdir do |directory|
      library = Serval::Accelerator::Library.new(directory)
      script = File.join(directory, "cc")
      File.write(script, "#!/bin/sh\nkill -INT $$\n")
      File.chmod(0o700, script)
      with_config("CC", script) { assert_raises(Serval::Accelerator::Library::Error) { library.build } }
      library.build
      assert library.there?
    end
  end

  def test_a_compiler_whose_end_somebody_else_saw_has_compiled_all_the_same
    Dir.mktmpdir do |directory|
      library = Serval::Accelerator::Library.new(directory)
      building = Thread.new { library.build }
      Process.waitall while building.alive?
      building.value
      assert library.there?
    end
  end

  def test_a_ruby_that_lacks_a_function_is_noticed_when_the_file_is_loaded
    Dir.mktmpdir do |directory|
      library = Serval::Accelerator::Library.new(directory)
      with_config("CC", "#{RbConfig::CONFIG["CC"]} -Drb_mutex_trylock=rb_mutex_gone") { library.build }
      assert_match(/rb_mutex_gone/, assert_raises(LoadError) { library.load }.message)
    end
  end

  # --- in a worker ---

  APP = 'run ->(env) { [200, { "there" => (!!defined?(Serval::Accelerator::Shape)).to_s }, [env["PATH_INFO"]]] }'

  def there?(front, path = "/")
    front.get(path).headers["there"] == "true"
  end

  def test_a_worker_has_it_sooner_or_later_and_the_next_one_from_the_start
    Dir.mktmpdir do |directory|
      front = serve(APP, accelerator: "auto", accelerator_directory: directory)
      deadline = Time.now + Front::PATIENCE
      sleep 0.01 until there?(front) || Time.now > deadline
      assert there?(front)
      assert there?(serve(APP, accelerator: "auto", accelerator_directory: directory))
      refute there?(serve(APP, accelerator: "off", accelerator_directory: directory))
    end
  end

  def test_a_worker_that_shall_have_it_has_it_from_the_start
    Dir.mktmpdir { |directory| assert there?(serve(APP, accelerator: "on", accelerator_directory: directory)) }
  end

  def test_nothing_that_is_missing_keeps_a_worker_from_serving
    Dir.mktmpdir do |directory|
      broken = File.join(directory, "broken.rb")
      { '"CC"] = "/nowhere/cc"' => /nowhere/, '"CC"] = "false"' => /the C compiler failed/,
        '"rubyhdrdir"] = "/nowhere"' => %r{headers are not installed: /nowhere/ruby.h} }.each_with_index do |(line, reason), i|
        File.write(broken, "RbConfig::CONFIG[#{line}")
        options = { ruby: ["-rrbconfig", "-r#{broken}"], accelerator_directory: File.join(directory, i.to_s) }
        Dir.mkdir(options[:accelerator_directory])
        loud = serve(APP, accelerator: "on", **options)
        assert_equal [200, "false"], loud.get.then { |response| [response.status, response.headers["there"]] }
        assert_match(/WARN there is no accelerator, Ruby does its work: .*#{reason}/, loud.log)
        quiet = serve(APP, accelerator: "auto", **options)
        3.times { refute there?(quiet) }
        assert_empty quiet.log
      end
      front = serve(APP, accelerator: "on", accelerator_directory: "/nowhere")
      assert_equal 200, front.get.status
      assert_match(/there is no accelerator.*No such file/, front.log)
    end
  end

  private

  def with_config(name, value)
    before = RbConfig::CONFIG[name]
    RbConfig::CONFIG[name] = value
    yield
  ensure
    RbConfig::CONFIG[name] = before
  end

  def words(list)
    list.map { |word| "#{word}\0".b }.join
  end

  # One Env in Ruby, one in C.
  def twin_envs(rack, hints)
    Array.new(2) { Serval::Env.new(Serval::Settings.new("early_hints=#{hints ? 1 : 0}\nthreads=5\nversion=1"), rack: rack) }
         .each_with_index { |env, i| env.accelerate if i == 1 }
  end

  # Bytes of all kinds, short and long, none of them NUL.
  def text(least = 0)
    size = [least + @random.rand(4), @random.rand(30) + least, @random.rand(300) + least].sample(random: @random)
    bytes = @random.bytes(size).tr("\0", "x")
    @random.rand < 0.5 ? bytes : bytes.tr("^A-Za-z0-9", "a-z")
  end

  def shape
    names = %w[REQUEST_METHOD SERVER_PROTOCOL PATH_INFO REQUEST_URI QUERY_STRING REMOTE_ADDR rack.url_scheme HTTP_VERSION HTTP_HOST
               REQUEST_PATH CONTENT_LENGTH CONTENT_TYPE HTTP_COOKIE serval.body_wait_ms] + Array.new(3) { "HTTP_#{text(1).delete("=")}" }
    names.shuffle(random: @random).take(1 + @random.rand(names.size)).uniq.map do |name|
      @random.rand < 0.4 && name != "serval.body_wait_ms" ? "#{name.b}=#{text}" : name.b
    end
  end

  def frame(keys, id, number = 1)
    values = keys.map { |key| key == "serval.body_wait_ms" ? ["2.5", "0", "17", "", "x"].sample(random: @random) : text }
    Serval::Wire.frame(Serval::Wire::REQUEST, id, code: number, head: words(values), body: @random.rand < 0.3 ? text : "")
  end

  def assert_same_env(plain, accelerated)
    assert_equal plain.id, accelerated.id
    assert_equal seen(plain), seen(accelerated), "SEED=#{SEED}"
    refute(accelerated.env.any? { |_, value| value.equal?(plain.env) })
  end

  # All that an app can see of an env, but which object is which.
  def seen(request)
    request.env.map do |key, value|
      value = value.read if value.is_a?(StringIO)
      value = :exchange if value.equal?(request)
      value = [value.receiver.equal?(request), value.name] if value.is_a?(Method)
      [key, key.encoding, key.frozen?, value.is_a?(Proc) ? :proc : value, value.frozen?, (value.encoding if value.is_a?(String))]
    end << request.env.keys.map { |key| request.env.keys.select { |other| request.env[key].equal?(request.env[other]) && request.env[key].is_a?(String) } }
  end

  # A Responder, the front's end of its socket, and its own.
  def wired(fast, room: nil)
    front, worker = UNIXSocket.pair
    worker.setsockopt(:SOCKET, :SNDBUF, room) if room
    responder = Serval::Responder.new(Serval::Requests.new(worker), rack: "2.2.9")
    responder.accelerate if fast
    [responder, front, worker]
  end

  def response
    status = [200, 200, 404, 204, 100, 999, "200", 99, 1000, nil, 200.0].sample(random: @random)
    pairs = Array.new(@random.rand(12)) { [header, setting] }
    headers = [pairs.to_h, pairs.to_h, pairs.to_h, Class.new(Hash)[pairs], pairs, nil].sample(random: @random)
    parts = Array.new(@random.rand(4)) { part }
    [status, headers, [parts, parts, parts, Class.new(Array).new(parts), parts.each, nil].sample(random: @random)]
  end

  def header
    ["x-#{text}", "x-#{text}", "x-#{text}".b, "é", :symbol, "nul\0", "rack.x"].sample(random: @random)
  end

  def setting
    [text, text, text, text.force_encoding("UTF-8"), "ü".encode("UTF-16LE"), "a\nb", "nul\0", nil, 7, %w[a b], ["x" * 20_000, "y"].sample(random: @random)]
      .sample(random: @random).then { |value| @random.rand < 0.8 ? text : value }
  end

  def part
    [text, text, "ü", "ü".encode("UTF-16LE"), "x" * 9000, "ü" * 30_000, "", 7, nil].sample(random: @random).then { |part| @random.rand < 0.8 ? text : part }
  end

  # What came out at the front's end, and what was raised.
  def answer(responder, socket, id, status, headers, body)
    request = Request.new.tap { |r| r.id = id }
    request.env = { "REQUEST_METHOD" => "GET" }
    error = begin
      responder.respond(request, status, headers, body)
      nil
    rescue StandardError => e
      [e.class, e.message]
    end
    found = String.new
    while (bytes = socket.read_nonblock(1_000_000, exception: false)) != :wait_readable
      found << bytes
    end
    [error, found]
  end
end
