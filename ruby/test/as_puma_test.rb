# frozen_string_literal: true

require_relative "support/worker_test"

# What gems ask of Puma, in a worker.
class AsPumaTest < WorkerTest
  ANSWER = <<~'RUBY'
    require "json"
    run ->(env) { [200, {}, [JSON.generate(eval(env["QUERY_STRING"]))]] }
  RUBY

  def ask(front, code)
    JSON.parse(front.get("/?#{code}").body)
  end

  def setup
    require "json"
    Gem::Specification.find_by_name("puma")
  rescue Gem::MissingSpecError
    skip "gem puma is not installed"
  end

  def test_an_app_without_puma_does_not_find_it
    front = serve(ANSWER)
    assert_equal [nil, nil], ask(front, "[defined?(Puma),Thread.current[:puma_server]]")
  end

  def test_the_server_of_a_thread_has_the_numbers_of_this_worker
    front = serve("require 'puma'\n" + ANSWER, threads: 3)
    assert_equal [3, 1, 2, 0], ask(front, "s=Puma::Server.current;[s.running,s.busy_threads,s.pool_capacity,s.backlog]")
    assert_equal [3, false], ask(front, "s=Thread.current.puma_server;[s.stats[:max_threads],s.shutting_down?]")
  end

  def test_the_configuration_has_what_is_in_force_and_what_the_files_say
    front = serve("require 'puma'\n" + ANSWER, threads: 2, workers: 4, tag: "blog", environment: "production",
                                               files: { "puma.rb" => "workers 9\npersistent_timeout 7" }, config: "puma.rb")
    code = "o=Puma.cli_config.options;[o[:workers],o[:max_threads],o.fetch(:tag),o[:environment],o[:persistent_timeout],o[:none],o.key?(:workers)]"
    assert_equal [4, 2, "blog", "production", 7, nil, true], ask(front, code)
    assert_equal [4, ["puma.rb"]], ask(front, "c=Puma.cli_config.options;[c.final_options[:workers],c.all_of(:config_files)]")
  end

  def test_what_pumas_command_line_defines_is_used_where_it_is_loaded
    front = serve("require 'puma/cli'\n" + ANSWER, environment: "staging")
    assert_equal "staging", ask(front, "Puma.cli_config.environment")
  end
end
