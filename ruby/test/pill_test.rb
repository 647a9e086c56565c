# frozen_string_literal: true

require "json"
require "minitest/autorun"
require "rbconfig"
require "tmpdir"

# The evaluator of Bluepill's files, as it is started: a process with a path.
class PillTest < Minitest::Test
  EVALUATOR = File.expand_path("../lib/serval/pill_evaluate.rb", __dir__)

  def test_the_three_styles_of_setters_and_the_reader
    process = process_of(<<~PILL)
      p.start_command = "run"
      p.uid "deploy"
      p.daemonize!
      p.stdout = p.stderr = "/var/log/\#{p.uid}.log"
    PILL
    assert_equal({ "start_command" => "run", "uid" => "deploy", "daemonize" => true, "stdout" => "/var/log/deploy.log", "stderr" => "/var/log/deploy.log" },
                 values(process).slice("start_command", "uid", "daemonize", "stdout", "stderr"))
  end

  def test_blocks_without_an_argument_are_the_objects_own
    report = evaluate(<<~PILL)
      Bluepill.application(:blog) do
        process(:web) do
          start_command "run \#{name}"
          monitor_children { stop_command "kill \#{actual_pid}" }
        end
      end
    PILL
    process = report["applications"][0]["processes"][0]
    assert_equal "run web", process["attributes"]["start_command"]["value"]
    assert_equal "kill {{PID}}", process["children"]["attributes"]["stop_command"]["value"]
  end

  def test_each_setting_has_its_place
    process = process_of("p.uid = 'a'\np.gid = 'b'")
    assert_equal([3, 4], process["attributes"].values_at("uid", "gid").map { |setting| setting["line"] })
    assert_equal "app.pill", File.basename(process["attributes"]["uid"]["file"])
    assert_equal 2, process["line"]
  end

  def test_times_and_sizes
    process = process_of("p.x = [1.second, 30.seconds, 2.minutes, 1.5.hours, 1.day, 3.bytes, 100.megabytes, 0.5.gigabytes]")
    assert_equal [1, 30, 120, 5400, 86_400, 3, 104_857_600, 536_870_912], values(process)["x"]
  end

  def test_durations_of_others_are_numbers
    process = process_of("duration = Class.new { def is_a?(c) c == Numeric || super end; def to_f() 90.0 end }\np.x = duration.new")
    assert_equal 90, values(process)["x"]
  end

  def test_processes_inherit_what_was_set_before_them
    report = evaluate(<<~PILL)
      Bluepill.application("blog") do |app|
        app.process("first") { |p| p.start_command = "run" }
        app.uid = "deploy"
        app.process("second") { |p| p.start_command = "run" }
        app.process("third") { |p| p.uid = "root" }
      end
    PILL
    assert_equal([nil, "deploy", "root"], report["applications"][0]["processes"].map { |p| values(p)["uid"] })
  end

  def test_loops_the_environment_and_other_files
    report = evaluate(<<~PILL, "HOW_MANY" => "3") { |dir| File.write("#{dir}/names.rb", "NAMES = %w[a b c d]") }
      require "rubygems"
      require "bluepill"
      require_relative "names"
      def command_of(name) "run \#{name}" end
      Bluepill.application("blog", log_file: "/var/log/blog.log") do |app|
        NAMES.first(ENV["HOW_MANY"].to_i).each do |name|
          app.process(name) { |p| p.start_command = command_of(name) }
        end
      end if __FILE__ == $0
    PILL
    application = report["applications"][0]
    assert_equal({ "log_file" => "/var/log/blog.log" }, application["options"]["value"])
    assert_equal(["run a", "run b", "run c"], application["processes"].map { |p| values(p)["start_command"] })
  end

  def test_several_applications
    report = evaluate("%w[a b].each { |name| Bluepill.application(name) { |app| app.process('web') { |p| p.start_command = 'run' } } }")
    assert_equal(%w[a b], report["applications"].map { |application| application["name"] })
  end

  def test_the_pid_file_that_bluepill_makes_up
    report = evaluate(<<~PILL, "BLUEPILL_BASE_DIR" => "/base")
      Bluepill.application("blog") { |app| app.process("a b/c") { |p| p.x = p.pid_file } }
      Bluepill.application("shop", base_dir: "/other") { |app| app.process("web") { |p| p.x = p.pid_file } }
    PILL
    paths = report["applications"].map { |application| values(application["processes"][0])["x"] }
    assert_equal ["/base/pids/blog/a_b_c.pid", "/other/pids/shop/web.pid"], paths
  end

  def test_checks
    process = process_of('p.checks :http, url: "http://x/", pattern: /ok/i, times: [3, 5], fires: [:stop]')
    check = process["checks"][0]
    assert_equal ["http", 3], check.values_at("name", "line")
    assert_equal({ "url" => "http://x/", "pattern" => { "regexp" => "ok", "options" => 1 }, "times" => [3, 5], "fires" => ["stop"] }, check["options"]["value"])
  end

  def test_children_have_the_grace_times_of_their_process
    process = process_of("p.monitor_children { |c| c.checks :mem_usage, below: 1 }\np.stop_grace_time = 45.seconds")
    assert_equal 45, process["children"]["attributes"]["stop_grace_time"]["value"]
    assert_equal "mem_usage", process["children"]["checks"][0]["name"]
  end

  def test_what_cannot_cross_is_named
    process = process_of("p.a = -> {}\np.environment = { 'X' => Object.new }\np.c = Float::INFINITY\np.checks :http, url: proc {}")
    assert_equal(%w[Proc Object Infinity], process["attributes"].values_at("a", "environment", "c").map { |setting| setting["foreign"] })
    assert_equal "Proc", process["checks"][0]["options"]["foreign"]
  end

  def test_what_has_a_path_is_that_path
    assert_equal "/srv/blog", values(process_of("require 'pathname'\np.working_dir = Pathname('/srv') + 'blog'"))["working_dir"]
  end

  def test_classes_that_extend_or_change_bluepill_are_named
    report = evaluate(<<~PILL)
      class Queue2 < Bluepill::ProcessConditions::ProcessCondition
      end
      module Bluepill
        module ProcessConditions
          class Disk < ProcessCondition
          end
        end
        class Process
        end
      end
      class Loud < Bluepill::Trigger
      end
      class Unrelated
      end
    PILL
    assert_equal([["Queue2", "check", 1], ["Bluepill::ProcessConditions::Disk", "check", 5], ["Bluepill::Process", "change", 8], ["Loud", "trigger", 11]],
                 report["classes"].map { |c| c.values_at("name", "kind", "line") })
  end

  {
    "\nexit" => [2, "the file called exit"],
    "\n\nrequire 'no/such/thing'" => [3, "LoadError: cannot load such file -- no/such/thing"],
    "raise 'it rains'" => [1, "RuntimeError: it rains"],
    "Bluepill.application('blog')" => [1, "the application blog needs a block"],
    "Bluepill.application('blog') do |app|\n app.process('web')\nend" => [2, "the process web needs a block"],
    "Bluepill.application('blog') do |app|\n app.stop_signals = []\nend" => [2, /\Aan application has no stop_signals: it has working_dir/],
    "Bluepill.application('blog') { process('web') { pidfile } }" => [1, /\ANameError: undefined local variable or method .pidfile. for /],
    "Bluepill.application('blog') do" => [nil, /syntax error|unexpected/]
  }.each do |text, (line, words)|
    define_method("test_a_mistake_has_its_line: #{text.inspect}") do
      error = evaluate(text)["error"]
      assert_equal "app.pill", File.basename(error["file"])
      assert_equal line, error["line"] if line
      assert_operator words, :===, error["text"]
    end
  end

  def test_a_mistake_in_a_file_of_its_own_is_found_there
    error = evaluate("require_relative 'names'") { |dir| File.write("#{dir}/names.rb", "\nraise 'no names'") }["error"]
    assert_equal ["names.rb", 2], [File.basename(error["file"]), error["line"]]
  end

  def test_what_the_file_prints_goes_where_it_prints_to
    said, = capture_subprocess_io { evaluate("puts 'hello'") }
    assert_equal "hello\n", said
  end

  private

  # One process whose block, from line 3 of the file on, has this text.
  def process_of(text)
    report = evaluate("Bluepill.application('blog') do |app|\napp.process('web') do |p|\n#{text}\nend\nend")
    assert_nil report["error"]
    report["applications"][0]["processes"][0]
  end

  def values(process)
    process["attributes"].transform_values { |setting| setting["value"] }
  end

  def evaluate(text, env = {})
    Dir.mktmpdir do |dir|
      File.write("#{dir}/app.pill", text)
      yield dir if block_given?
      report, answer = IO.pipe
      pid = Process.spawn(env, RbConfig.ruby, "-w", EVALUATOR, "#{dir}/app.pill", 3 => answer)
      answer.close
      text = report.read
      Process.wait(pid)
      JSON.parse(text)
    end
  end
end
