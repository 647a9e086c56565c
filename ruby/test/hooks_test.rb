# frozen_string_literal: true

require_relative "support/worker_test"

class HooksTest < WorkerTest
  # An app whose body, hooks and all write a word into the file `order`.
  ORDER = <<~RUBY
    NOTE = ->(word) { File.write("order", word + "\n", mode: "a") }

    class Body
      def each; yield "part"; end
      def close; NOTE["closed"]; raise "in close" if $fail; end
    end

    ANSWER = lambda do |env, body|
      2.times do |i|
        env["rack.after_reply"] << -> { NOTE["reply \#{i}"]; raise "in reply" if $fail }
        env["rack.response_finished"] << lambda do |e, status, headers, error|
          NOTE["finished \#{i} \#{e.equal?(env)} \#{status.inspect} \#{headers.inspect} \#{error.inspect}"]
          raise "in finished" if $fail
        end
      end
      [200, { "x-a" => "1" }, body]
    end
  RUBY

  EXPECTED = [
    "closed", "reply 0", "reply 1",
    'finished 1 true 200 {"x-a"=>"1"} nil', 'finished 0 true 200 {"x-a"=>"1"} nil'
  ].freeze

  def order(front)
    File.readlines(File.join(front.directory, "order"), chomp: true).map { |line| line.gsub(" => ", "=>") }
  end

  def test_everything_runs_in_pumas_order_after_the_response
    front = serve(ORDER + "run ->(env) { ANSWER[env, Body.new] }")
    response = front.get
    assert_equal [%i[head end free], Frame::BUSY], [response.names, response.frames[1].flags]
    assert_equal EXPECTED, order(front)
  end

  def test_each_step_runs_even_if_the_ones_before_fail
    front = serve("$fail = true\n" + ORDER + "run ->(env) { ANSWER[env, Body.new] }")
    assert_equal %i[head end free], front.get.names
    assert_equal EXPECTED, order(front)
    ["in close", "in reply", "in finished"].each do |message|
      assert_match(%r{ERROR RuntimeError: #{message} \(GET /\)}, front.log)
    end
  end

  # A FREE for each body would wake the front once more per request.
  def test_bodies_that_have_been_closed_quickly_free_their_thread_at_once
    front = serve(<<~RUBY)
      class Body < Array
        def close; sleep 0.01 if $slow; end
      end
      run ->(env) { $slow = env["PATH_INFO"] == "/slow"; [200, {}, Body.new(["x"])] }
    RUBY
    ask = ->(path) { front.get(path).names }
    assert_equal %i[response free], ask["/"]
    64.times { ask["/"] }
    assert_equal %i[response], ask["/"]
    assert_equal %i[response], ask["/slow"]
    assert_equal %i[response free], ask["/"]
  end

  def test_hooks_of_an_array_response_keep_its_thread_busy
    front = serve(ORDER + 'run ->(env) { ANSWER[env, ["x"]] }')
    response = front.get
    assert_equal [%i[response free], Frame::BUSY], [response.names, response.frames[0].flags]
    assert_equal EXPECTED.drop(1), order(front)
  end

  def test_hooks_hear_of_an_app_that_raised
    front = serve(ORDER + 'run ->(env) { ANSWER[env, nil]; raise "no answer" }')
    assert_equal [500, %i[response free]], front.get.then { |response| [response.status, response.names] }
    assert_equal ["reply 0", "reply 1", "finished 1 true nil nil #<RuntimeError: no answer>",
                  "finished 0 true nil nil #<RuntimeError: no answer>"], order(front)
  end

  def test_hooks_may_be_added_while_the_body_is_enumerated
    front = serve(<<~RUBY)
      run(lambda do |env|
        body = Object.new
        body.define_singleton_method(:each) do |&block|
          block.call("x")
          env["rack.after_reply"] << -> { File.write("ran", "") }
        end
        [200, {}, body]
      end)
    RUBY
    assert_equal %i[head end free], front.get.names
    assert File.exist?(File.join(front.directory, "ran"))
  end

  def test_hooks_an_app_has_spoilt_do_no_harm
    front = serve('run ->(env) { env["rack.after_reply"] = nil; env["rack.response_finished"] = 1; [200, {}, ["ok"]] }')
    assert_equal [200, [:response]], front.get.then { |response| [response.status, response.names] }
  end

  def test_a_body_is_closed_once_whatever_becomes_of_it
    front = serve(<<~RUBY)
      class Body
        def initialize(way) @way = way; end
        def each
          yield "part" unless @way == "at once"
          raise "in each" if ["at once", "later"].include?(@way)
          throw :out if @way == "thrown"
          Thread.exit if @way == "exit"
        end
        def close; File.write("closed", @way + "\\n", mode: "a"); end
      end
      run ->(env) { [200, {}, Body.new(env["QUERY_STRING"])] }
    RUBY
    ["", "at once", "later", "thrown", "exit"].each do |way|
      front.get("/?#{way}")
      assert_equal [way], File.readlines(File.join(front.directory, "closed"), chomp: true), "way: #{way}"
      File.delete(File.join(front.directory, "closed"))
    end
  end

  def test_a_body_that_cannot_be_sent_is_closed_too
    front = serve(<<~RUBY)
      body = Object.new
      def body.close; File.write("closed", "x", mode: "a"); end
      run ->(env) { [env["QUERY_STRING"].to_i, {}, body] }
    RUBY
    [200, 99].each { |status| assert_equal 500, front.get("/?#{status}").status }
    assert_equal "xx", File.read(File.join(front.directory, "closed"))
  end

  def test_a_hook_that_ends_its_thread_still_frees_it_for_the_front
    front = serve('run ->(env) { env["rack.after_reply"] << -> { Thread.exit }; [200, {}, ["ok"]] }')
    3.times { assert_equal %i[response free], front.get.names }
  end

  # --- early hints ---

  def test_early_hints_go_out_before_the_response
    front = serve(<<~RUBY, early_hints: 1)
      run(lambda do |env|
        env["rack.early_hints"].call("link" => "</a.css>; rel=preload\n</b.js>; rel=preload")
        env["rack.early_hints"].call("link" => ["</c>", "</d>"])
        [200, {}, ["ok"]]
      end)
    RUBY
    response = front.get
    assert_equal %i[hints hints response], response.names
    assert_equal({ "link" => "</a.css>; rel=preload\n</b.js>; rel=preload" }, response.frames[0].headers)
    assert_equal({ "link" => "</c>\n</d>" }, response.frames[1].headers)
  end

  def test_early_hints_are_offered_only_when_switched_on
    front = serve('run ->(env) { [200, {}, [env.key?("rack.early_hints").to_s]] }')
    assert_equal "false", front.get.body
  end

  def test_early_hints_after_the_response_are_dropped
    front = serve(<<~RUBY, early_hints: 1)
      run ->(env) { env["rack.after_reply"] << -> { env["rack.early_hints"].call("a" => "b") }; [200, {}, []] }
    RUBY
    assert_equal %i[response free], front.get.names
  end
end
