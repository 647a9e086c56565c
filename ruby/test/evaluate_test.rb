# frozen_string_literal: true

require "json"
require "minitest/autorun"
require "rbconfig"
require "tmpdir"

# The evaluator, as the front starts it.
class EvaluateTest < Minitest::Test
  EVALUATOR = File.expand_path("../lib/serval/evaluate.rb", __dir__)

  # The bundle of these cannot be set up, so whether it is needed shows.
  {
    "threads 2, 2\nworker_check_interval 3\npreload_app!\n# require 'this'\n" => false,
    "port ENV.fetch('PORT', 3000) # gem of a port\nplugin :tmp_restart\n" => false,
    "tag \"a \#{1 + 1}\" # load it\n" => false,
    "require 'no/such/thing'\n" => true,
    "plugin :metrics\n" => true,
    "tag Gem::VERSION\n" => true,
    "instance_eval File.read('other.rb')\n" => true,
    "tag \"\#{load 'other.rb'}\"\n" => true
  }.each do |text, needed|
    define_method("test_the_bundle_is_set_up_for_what_needs_it: #{text.inspect}") do
      report = evaluate(text)
      if needed
        assert_match(/needs the app's bundle, which cannot be set up: .*no_such_gem/m, report["error"])
      else
        assert_nil report["error"]
        refute_empty report["settings"]
      end
    end
  end

  private

  def evaluate(text)
    Dir.mktmpdir do |dir|
      File.write(File.join(dir, "puma.rb"), text)
      File.write(File.join(dir, "Gemfile"), "gem 'no_such_gem'\n")
      settings = "config=#{dir}/puma.rb\nenvironment=test\nbundle_gemfile=#{dir}/Gemfile"
      report, answer = IO.pipe
      env = { "SERVAL_WORKER" => settings }
      pid = Process.spawn(env, RbConfig.ruby, EVALUATOR, 3 => answer, :chdir => dir, :err => File::NULL)
      answer.close
      Process.wait(pid)
      JSON.parse(report.read)
    end
  end
end
