# frozen_string_literal: true

require_relative "support/worker_test"

class FailureTest < WorkerTest
  RAISES = {
    "a StandardError" => 'raise "oh no"',
    "a ScriptError" => 'raise NotImplementedError, "oh no"',
    "an exit" => "exit(3)",
    "an interrupt" => 'raise Interrupt, "oh no"',
    "a throw" => "throw :async",
    "too deep a stack" => "deep = ->(n) { deep.call(n + 1) }; deep.call(0)",
    "no memory" => 'raise NoMemoryError, "oh no"',
    "a message that is no UTF-8" => 'raise "\xff\xfe".b',
    "an error without a backtrace" => 'e = RuntimeError.new("oh no"); def e.backtrace; end; raise e',
    "an error that cannot speak" => 'e = RuntimeError.new; def e.message; raise "mute"; end; raise e',
    "an ended thread" => "Thread.exit"
  }.freeze

  RAISES.each do |kind, ruby|
    define_method("test_#{kind.tr(" ", "_")}_is_a_500_and_the_worker_lives") do
      front = serve("run ->(env) { env['PATH_INFO'] == '/bad' ? (#{ruby}) : [200, {}, ['fine']] }")
      3.times { assert_equal 500, front.get("/bad").status }
      assert_equal "fine", front.get("/").body
      assert_match(/ERROR .* \(GET \/bad\)/, front.log)
      assert_equal 0, front.retire.exitstatus
    end
  end

  def test_the_backtrace_of_an_overflowed_stack_is_cut_in_the_middle
    front = serve("deep = ->(n) { deep.call(n + 1) }\nrun ->(env) { deep.call(0) }")
    front.get
    front.wait_for_log(/\.\.\. \d+ more \.\.\./)
    assert_operator front.log.lines.size, :<, 300
    assert_match(/config\.ru:2/, front.log)
  end

  ANSWERS = {
    "nil" => "nil", "a string" => '"hello"', "two things" => "[200, {}]", "a status of nil" => "[nil, {}, []]",
    "a status too small" => "[20, {}, []]", "a status too large" => "[1000, {}, []]",
    "headers of nil" => "[200, nil, []]", "a body of nil" => "[200, {}, nil]",
    "a string as body" => '[200, {}, "hello"]', "the async marker" => "[-1, {}, []]"
  }.freeze
  WORDS = {
    "nil" => /no array of status, headers and body but NilClass/,
    "a status of nil" => /status, nil, is no number/,
    "headers of nil" => /headers are no Hash but NilClass/,
    "a string as body" => /body, String, has neither each nor call/,
    "the async marker" => /async\.callback is not supported/
  }.freeze

  ANSWERS.each do |kind, ruby|
    define_method("test_an_answer_of_#{kind.tr(" ", "_")}_is_an_error_that_says_why") do
      front = serve("run ->(env) { #{ruby} }")
      assert_equal 500, front.get.status
      assert_match(WORDS.fetch(kind, /ERROR TypeError: the app's/), front.log)
    end
  end

  def test_headers_beyond_all_measure_are_an_error_and_not_the_end_of_the_worker
    front = serve('run ->(env) { [200, { "x-a" => "x" * Integer(env["QUERY_STRING"]) }, ["ok"]] }')
    assert_equal [200, 500, 200], [1_000_000, 1_100_000, 1].map { |size| front.get("/?#{size}").status }
    assert_match(/ArgumentError: the app's headers are longer than 1048576 bytes/, front.log)
  end

  def test_the_log_has_the_error_the_request_and_the_place
    front = serve("run ->(env) { raise ArgumentError, 'wrong thing' }")
    front.get("/some/path", method: "POST")
    time = /\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}/
    assert_match(%r{^#{time} ERROR ArgumentError: wrong thing \(POST /some/path\)$}, front.log)
    assert_match(%r{^    .*config\.ru:1:in }, front.log)
    refute_match(%r{lib/serval/}, front.log)
  end

  def test_the_log_has_the_cause
    front = serve("run ->(env) { begin; raise 'first'; rescue; raise 'second'; end }")
    front.get
    assert_match(/ERROR RuntimeError: second \(GET \/\).*caused by RuntimeError: first/m, front.log)
  end

  def test_a_log_line_of_mixed_encodings_is_still_written
    front = serve('# encoding: utf-8' "\nrun ->(env) { raise 'gr\u00f6\u00dfer' }", debug_pages: 1)
    ["/caf\xc3\xa9", "/\xff\n2026"].each do |path|
      response = front.get(path, HTTP_ACCEPT: "text/html")
      assert_equal 500, response.status
      assert_match(/gr\u00f6\u00dfer/, response.body.force_encoding(Encoding::UTF_8))
    end
    assert_match(%r{ERROR RuntimeError: gr\u00f6\u00dfer \(GET /caf\u00e9\)$}, front.log)
    assert_match(%r{ERROR RuntimeError: gr\u00f6\u00dfer \(GET /\ufffd\?2026\)$}, front.log)
  end

  # --- bodies that fail ---

  BODY = <<~RUBY
    body = Object.new
    def body.each
      yield "part" if $parts
      raise "in each"
    end
  RUBY

  def test_a_body_that_fails_before_its_first_part_is_a_500
    front = serve(BODY + "run ->(env) { [200, {}, body] }")
    assert_equal [500, [:response]], front.get.then { |response| [response.status, response.names] }
  end

  def test_a_body_that_fails_while_it_is_held_back_is_a_500
    front = serve("$parts = true\n" + BODY + "run ->(env) { [200, { 'content-length' => '9' }, body] }")
    assert_equal [500, [:response]], front.get.then { |response| [response.status, response.names] }
  end

  def test_a_body_that_fails_later_is_cut
    front = serve("$parts = true\n" + BODY + "run ->(env) { [200, {}, body] }")
    response = front.get
    assert_equal [%i[head end], Frame::ABORT], [response.names, response.last.flags]
    assert_match(/in each/, front.wait_for_log(/in each/))
    assert_equal %i[head end], front.get.names
  end

  def test_a_long_body_that_fails_is_cut
    front = serve(<<~RUBY)
      body = Object.new
      def body.each; 4.times { yield "x" * 100_000 }; raise "in each"; end
      run ->(env) { [200, {}, body] }
    RUBY
    response = front.get
    assert_equal [400_000, Frame::ABORT], [response.body.bytesize, response.last.flags]
  end

  def test_a_timeout_inside_a_body_never_cuts_a_frame
    front = serve(<<~RUBY)
      require "timeout"
      body = Object.new
      def body.each
        Timeout.timeout(0.02) { loop { yield "x" * 5000 } }
      end
      run ->(env) { [200, {}, env["PATH_INFO"] == "/endless" ? body : ["fine"]] }
    RUBY
    10.times do
      response = front.get("/endless")
      assert_equal Frame::ABORT, response.last.flags
      assert_equal "", response.body.delete("x")
    end
    assert_equal "fine", front.get.body
  end

  # --- pages ---

  def test_a_page_in_development_shows_the_error_and_escapes_it
    front = serve("run ->(env) { raise '<script>alert(1)</script>' }", debug_pages: 1)
    response = front.get("/x?<b>", HTTP_ACCEPT: "text/html,*/*")
    assert_equal "text/html; charset=utf-8", response.headers["content-type"]
    assert_match(/RuntimeError: &lt;script&gt;alert\(1\)&lt;\/script&gt;/, response.body)
    assert_match(/GET \/x\?&lt;b&gt;/, response.body)
    assert_match(/config\.ru:1/, response.body)
    refute_match(/<script>|<b>/, response.body)
  end

  def test_a_client_that_wants_no_html_gets_text
    front = serve("run ->(env) { raise 'oh <no>' }", debug_pages: 1)
    response = front.get("/x", HTTP_ACCEPT: "application/json")
    assert_equal "text/plain; charset=utf-8", response.headers["content-type"]
    assert_match(/\ARuntimeError: oh <no>\nGET \/x\n\n.*config\.ru:1/, response.body)
  end

  def test_a_page_in_production_tells_nothing
    front = serve("run ->(env) { raise 'a secret' }")
    ["text/html", "*/*"].each do |accept|
      response = front.get("/path", HTTP_ACCEPT: accept)
      assert_equal 500, response.status
      refute_match(/secret|RuntimeError|config\.ru|path/, response.body)
      assert_match(/Internal Server Error/, response.body)
    end
  end
end
