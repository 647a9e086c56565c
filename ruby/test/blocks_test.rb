# frozen_string_literal: true

require_relative "support/worker_test"

# The blocks of configuration files, in workers that no mold forked.
class BlocksTest < WorkerTest
  NOTE_TAKER = "$note = ->(line) { File.write('notes', \"\#{line}\\n\", mode: 'a') }\n"
  HELLO = "$note.call('load')\nrun ->(env) { $note.call('request'); [200, {}, ['hello']] }"

  def test_blocks_run_in_pumas_order
    front = configured(<<~RUBY, workers: 2, index: 1)
      before_worker_boot { |index| $note.call("before_worker_boot \#{index}") }
      before_worker_boot(:shared) { |index, hash| hash[:from] = "boot" }
      before_thread_start { $note.call("before_thread_start") }
      before_thread_exit { $note.call("before_thread_exit") }
      before_worker_shutdown { |index| sleep 0.1; $note.call("before_worker_shutdown \#{index}") }
      before_worker_shutdown(:shared) { |index, hash| $note.call("shared \#{hash[:from]}") }
    RUBY
    assert_equal "hello", front.get.body
    assert front.retire.success?
    assert_equal ["before_worker_boot 1", "load", "before_thread_start", "request", "before_thread_exit",
                  "before_worker_shutdown 1", "shared boot"], notes(front)
  end

  def test_puma_s_single_mode_has_no_workers
    front = configured(<<~RUBY, workers: 0)
      before_worker_boot { $note.call("boot") }
      before_worker_shutdown { $note.call("shutdown") }
      after_booted { $note.call("after_booted") }
    RUBY
    front.tell("k", 9, "after_booted")
    assert_equal ["A", 9, ""], front.message
    front.retire
    assert_equal %w[load after_booted], notes(front)
  end

  def test_a_block_that_raises_stops_nothing
    front = configured("before_worker_boot { raise 'not now' }\nbefore_worker_boot { $note.call('next') }")
    assert_equal "hello", front.get.body
    assert_includes notes(front), "next"
    assert_match(/not now/, front.log)
  end

  def test_a_configuration_that_does_not_load_is_told_with_its_place
    front = boot(app: HELLO, **config("threads 1\nraise ArgumentError, 'no good'\n"))
    type, _, text = front.message
    assert_equal "E", type
    assert_match(/puma\.rb:3.*no good|no good.*puma\.rb:3/m, text)
  end

  def test_the_app_may_be_in_the_configuration
    front = front_of(Front.ready(**config("app { |env| [200, {}, ['from the configuration']] }")))
    assert_equal "from the configuration", front.get.body
  end

  def test_threads_that_end_and_begin_run_their_blocks
    front = configured(<<~RUBY, threads: 3)
      before_thread_start { $note.call("start") }
    RUBY
    front.get
    front.retire
    assert_equal 3, notes(front).count("start")
  end

  # --- lowlevel_error_handler ---

  {
    "{ |e| [503, {}, [e.message]] }" => [503, "broken"],
    "{ |e, env| [503, {}, [e.message, env['PATH_INFO']]] }" => [503, "broken/at"],
    "{ |e, env, status| [status + 1, {}, [env['PATH_INFO']]] }" => [501, "/at"],
    "{ |*all| [503, {}, [all.size.to_s]] }" => [503, "3"]
  }.each do |block, expected|
    define_method("test_a_lowlevel_error_handler_of_the_kind_#{block[/\|.*?\|/].tr("|,* ", "")}") do
      front = configured("lowlevel_error_handler #{block}", app: "run ->(env) { raise 'broken' }")
      response = front.get("/at")
      assert_equal expected, [response.status, response.body]
      assert_match(/RuntimeError: broken \(GET \/at\)/, front.log)
    end
  end

  def test_a_lowlevel_error_handler_that_fails_leaves_the_usual_page
    front = configured("lowlevel_error_handler { |e| raise 'twice' }", app: "run ->(env) { raise 'broken' }")
    response = front.get
    assert_equal [500, "Internal Server Error\n"], [response.status, response.body]
    assert_match(/RuntimeError: twice/, front.log)
  end

  # --- between requests ---

  def test_out_of_band_blocks_run_after_the_response_when_no_request_runs
    front = configured("out_of_band { File.read('gate') }\n", threads: 2)
    front.gate("gate")
    id = front.ask
    response = front.frame
    assert_equal [:response, Frame::BUSY, "hello"], [response.name, response.flags, response.body]
    front.pass("gate")
    assert_equal [:free, id], [(free = front.frame).name, free.id]
  end

  def test_out_of_band_blocks_wait_until_the_last_request_is_over
    front = configured("out_of_band { $note.call('band') }\n", threads: 2, app: <<~RUBY)
      run ->(env) { File.read('gate') if env['PATH_INFO'] == '/slow'; [200, {}, ['']] }
    RUBY
    front.gate("gate")
    slow = front.ask("/slow")
    poker = Thread.new { loop { front.poke; sleep 0.01 } } # as a front that hears nothing
    assert_equal 0, front.get("/fast").last.flags
    poker.kill.join
    assert_empty notes(front)
    front.pass("gate")
    assert_equal :free, front.response(slow).last.name
    assert_equal %w[band], notes(front)
  end

  def test_garbage_is_collected_between_requests
    front = serve(<<~RUBY, out_of_band_gc: 1)
      KEPT = Array.new(400_000) { Object.new }
      run ->(env) { before = GC.count; 10_000.times { Object.new }; [200, {}, ["\#{before} \#{GC.count}"]] }
    RUBY
    answers = Array.new(150) { front.get }
    busy, plain = answers.partition { |answer| answer.last.name == :free }
    assert_operator busy.size, :>=, 3
    assert_operator plain.size, :>, busy.size
    counts = answers.drop(20).map { |answer| answer.body.split.map(&:to_i) } # past the garbage of the boot
    inside = counts.sum { |before, after| after - before }
    assert_operator counts.last.last - counts.first.first - inside, :>, 3 * inside, "most collections were in requests"
  end

  # --- questions ---

  def test_a_worker_says_how_it_is
    front = serve("run ->(env) { File.read('gate'); [200, {}, []] }", threads: 3)
    front.gate("gate")
    id = front.ask
    answer = loop do
      front.tell("a", 1, "stats")
      _, _, text = front.message
      break text if text.include?('"busy_threads":1')
    end
    assert_match(/"backlog":0,"running":3,"pool_capacity":2,"busy_threads":1,"max_threads":3,"requests_count":0/, answer)
    front.tell("p", 0)
    assert_equal ["P", 0, ""], front.message
    front.pass("gate")
    front.response(id)
    front.tell("a", 2, "no such thing")
    assert_equal ["X", 2], front.message.first(2)
  end

  private

  def configured(text, app: HELLO, **settings)
    front_of(Front.ready(app: app, **config(text), workers: 1, **settings))
  end

  def config(text)
    { files: { "puma.rb" => NOTE_TAKER + text }, config: "puma.rb" }
  end

  def notes(front)
    File.readlines(File.join(front.directory, "notes"), chomp: true)
  rescue Errno::ENOENT
    []
  end
end
