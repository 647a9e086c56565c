# frozen_string_literal: true

require "minitest/autorun"
require "tmpdir"
require_relative "../lib/serval/configuration"

class ConfigurationTest < Minitest::Test
  def setup
    @dir = Dir.mktmpdir
  end

  def teardown
    FileUtils.remove_entry(@dir)
  end

  def test_settings_have_the_names_of_flags_and_know_their_line
    configuration = load("workers 3\n\nthreads 1,\n  4\nworker_timeout 90\n")
    assert_equal [["workers", "3", 1], ["threads", "1:4", 3], ["worker-timeout", "90", 5]],
                 configuration.settings.map { |s| [s.name, s.value, s.line] }
    assert_equal [path], configuration.settings.map(&:file).uniq
  end

  def test_own_settings_take_what_ruby_and_the_command_line_write
    configuration = load("request_timeout 2.5\nmax_body '10M'\nsilent\nrequest_id false\nenv_file 'a', 'b'\n")
    assert_equal [%w[request-timeout 2.5], %w[max-body 10M], %w[silent true], %w[request-id false], %w[env-file a], %w[env-file b]],
                 configuration.settings.map { |s| [s.name, s.value] }
  end

  def test_a_mistake_is_one_sentence_with_file_and_line
    {
      "threads 5, 1" => "threads 5, 1: the smaller number comes first",
      "threads 1, 2, 3" => "threads: wrong number of arguments (given 3, expected 1..2)",
      "threads 0" => "threads 0, 0: give at least one",
      "workers 'x'" => "workers \"x\": give a whole number",
      "workers -1" => "workers -1: give at least 0",
      "workres 3" => "there is no setting called workres: did you mean workers?",
      "frobnicate" => "there is no setting called frobnicate",
      "before_fork" => "before_fork needs a block",
      "inject" => "inject needs a block",
      "single" => "single needs a block",
      "app" => "app needs an object with a method call, or a block",
      "worker_timeout 5" => "worker_timeout 5: give more than worker_check_interval, 5 seconds",
      "worker_culling_strategy :tallest" => "worker_culling_strategy :tallest: give :youngest or :oldest",
      "persistent_timeout -1" => "persistent_timeout -1: give seconds, at least 0",
      "first_data_timeout 'soon'" => "first_data_timeout \"soon\": give a number of seconds",
      "custom_logger nil" => "custom_logger needs an object with a method write",
      "rack_url_scheme 'ftp'" => "rack_url_scheme \"ftp\": give \"http\" or \"https\"",
      "supported_http_methods []" => "supported_http_methods []: give :any or a list of methods",
      "state_permission 'rw'" => "state_permission \"rw\": give a mode, as 0640",
      "max_keep_alive 0" => "max_keep_alive 0: give at least 1",
      "activate_control_app 'auto', tokn: 1" => "activate_control_app knows no tokn: give auth_token, no_token, umask, data_only",
      "load 'gone.rb'" => "cannot load gone.rb: no such file or directory",
      "plugin :gone" => "cannot load the plugin gone: ",
      "raise 'no'" => "RuntimeError: no",
      "nil.foo" => "NoMethodError: undefined method",
      "exit" => "the file called exit",
      "Integer('x')" => "ArgumentError: invalid value for Integer()"
    }.each do |line, sentence|
      error = assert_raises(Serval::Configuration::Error, line) { load("tag 'x'\n#{line}\n") }
      assert error.message.start_with?("#{path}:2: #{sentence}"), "#{line}: have #{error.message.inspect}"
    end
  end

  def test_what_cannot_be_parsed_names_its_line
    error = assert_raises(Serval::Configuration::Error) { load("tag 'x'\n)\n") }
    assert error.message.start_with?("#{path}:2: syntax error"), error.message
  end

  def test_a_mistake_in_a_file_that_is_loaded_is_found_there
    write("more.rb", "tag 'x'\n\nthreads 'x'\n")
    error = assert_raises(Serval::Configuration::Error) { load("load '#{@dir}/more.rb'\n") }
    assert error.message.start_with?("#{@dir}/more.rb:3: threads \"x\""), error.message
  end

  def test_a_missing_file_is_named
    error = assert_raises(Serval::Configuration::Error) { Serval::Configuration.load(["#{@dir}/gone.rb"]) }
    assert_equal "cannot read the configuration file #{@dir}/gone.rb: no such file or directory", error.message
  end

  def test_blocks_of_single_and_cluster_wait_for_all_files_and_for_the_number_of_workers
    text = "cluster { tag 'cluster' }\nsingle { tag 'single' }\ntag 'last'\n"
    write("two.rb", "workers 2\n")
    assert_equal "cluster", tag(Serval::Configuration.load([write("puma.rb", text), "#{@dir}/two.rb"]))
    assert_equal "single", tag(load(text))
    assert_equal "single", tag(Serval::Configuration.load([path, "#{@dir}/two.rb"], workers: 0))
    assert_equal "cluster", tag(Serval::Configuration.load([path], workers: 1))
    error = assert_raises(Serval::Configuration::Error) { load("single { workers 2 }\n") }
    assert_includes error.message, "workers cannot be changed in a block of single or cluster"
  end

  def test_what_has_no_effect_says_so_once
    configuration = load("queue_requests false\nqueue_requests false\nqueue_requests true\nprune_bundler false\ndebug\n")
    assert_equal %w[queue_requests debug], configuration.notices.map(&:written)
    assert_equal [1, 5], configuration.notices.map(&:line)
  end

  def test_objects_stay_in_the_process
    configuration = load("app { |env| env }\nlowlevel_error_handler { 1 }\nlog_formatter { |s| s.upcase }\ncustom_logger $stdout\n")
    assert_equal 5, configuration.app.call(5)
    assert_equal 1, configuration.lowlevel_error_handler.call
    assert_equal "A", configuration.log_formatter.call("a")
    assert_same $stdout, configuration.custom_logger
    assert_nil load("").app
  end

  def test_get_returns_what_was_set
    assert_equal "5/no/5", tag(load("threads 3, 5\ntag [get(:max_threads), get(:x, 'no'), get('max_threads', 1)].join('/')\n"))
  end

  def test_constants_are_pumas_or_the_apps_but_not_ours
    assert_equal "config.ru", tag(load("tag DefaultRackup\n"))
    assert_equal "60", tag(load("tag DefaultWorkerTimeout.to_s\n"))
    %w[Settings Log Hooks Error Setting Plugins Failure].each do |name|
      error = assert_raises(Serval::Configuration::Error, name) { load("tag #{name}.to_s\n") }
      assert_includes error.message, "NameError: uninitialized constant"
    end
    Object.const_set(:Hooks, "the app's")
    assert_equal "the app's", tag(load("tag Hooks\n"))
  ensure
    Object.send(:remove_const, :Hooks) if Object.const_defined?(:Hooks, false)
  end

  def test_a_plugin_of_another_gem_is_configured_and_started
    write("puma/plugin/greeter.rb", <<~RUBY)
      Puma::Plugin.create do
        def config(dsl)
          dsl.tag "by the plugin"
        end

        def start(launcher)
          launcher << :started
          in_background { launcher << :background }
        end
      end
    RUBY
    out, status = ruby(<<~RUBY)
      configuration = Serval::Configuration.load(["#{write("serval.rb", "plugin :greeter\n")}"])
      puts configuration.settings.map(&:value)
      seen = Queue.new
      def seen.stats; {}; end
      configuration.start_plugins(seen)
      puts seen.pop, seen.pop
    RUBY
    assert_equal "by the plugin\nstarted\nbackground\n", out
    assert_predicate status, :success?
  end

  def test_the_shutdown_timeout_is_the_shorter_of_pumas_two
    {
      "force_shutdown_after 5" => "5", "force_shutdown_after 5\nworker_shutdown_timeout 9" => "5",
      "force_shutdown_after 9\nworker_shutdown_timeout 5" => "5", "force_shutdown_after :immediately" => "0",
      "worker_shutdown_timeout 7\nforce_shutdown_after" => "7", "force_shutdown_after :forever" => "315360000"
    }.each do |text, want|
      assert_equal want, load(text).settings.select { |s| s.name == "shutdown-timeout" }.last.value, text
    end
  end

  private

  def path
    "#{@dir}/puma.rb"
  end

  def write(name, text)
    file = "#{@dir}/#{name}"
    FileUtils.mkdir_p(File.dirname(file))
    File.write(file, text)
    file
  end

  def load(text)
    Serval::Configuration.load([write("puma.rb", text)])
  end

  def tag(configuration)
    configuration.settings.select { |s| s.name == "tag" }.last.value
  end

  # In a process of its own and without gems, so that there is no Puma.
  def ruby(script)
    out = IO.popen([RbConfig.ruby, "--disable-gems", "-I", @dir, "-r", File.expand_path("../lib/serval/configuration", __dir__),
                    "-e", script], &:read)
    [out, $?]
  end
end
