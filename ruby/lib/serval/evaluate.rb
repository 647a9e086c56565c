# frozen_string_literal: true

# The doorway of the evaluator: a short-lived process that the front starts to learn what the configuration files say. Its
# settings are in SERVAL_WORKER, as a worker's; the answer is JSON on descriptor 3, because files may print.
#
# As in worker.rb, nothing may require a default gem until the bundle is set up.

require_relative "settings"
require_relative "failure"

module Serval
  # Evaluates configuration files and writes down what is in them.
  class Evaluator
    ANSWER = 3

    def initialize(settings)
      @settings = settings
    end

    def run
      answer = IO.for_fd(ANSWER, "wb")
      answer.close_on_exec = true
      report = report_or_error
      require "json"
      answer.write(JSON.generate(report))
    end

    private

    def report_or_error
      $LOAD_PATH.unshift(*@settings.load_path)
      if (error = bundle_error)
        return { error: "the configuration needs the app's bundle, which cannot be set up: #{error}" }
      end

      require_relative "configuration"
      evaluate
    end

    def evaluate
      describe(Configuration.load(@settings.config, environment: @settings.environment, workers: @settings.known_workers,
                                                    plugins: @settings.plugins))
    rescue Configuration::Error => e
      { error: Failure.message_of(e) }
    end

    def bundle_error
      set_up_bundle(@settings.bundle_gemfile)
      nil
    rescue StandardError, LoadError => e
      Failure.message_of(e)
    end

    # What a file may get gems with. tmp_restart is a plugin of Serval's own.
    GEMS = /\b(?:require\w*|load\w*|gem|Gem|Bundler|autoload|\w*eval|plugin\b(?!\W+tmp_restart))\b/.freeze
    COMMENT = /(?:^|\s)#(?!\{).*/.freeze

    # Setting up the bundle takes longer than all the rest, and most files ask for nothing that is in it.
    def asks_for_gems?
      @settings.config.any? { |path| File.read(path, encoding: Encoding::UTF_8).scrub.gsub(COMMENT, "").match?(GEMS) }
    rescue SystemCallError
      true # what is wrong with the file is said where it is evaluated
    end

    def set_up_bundle(gemfile)
      return if gemfile.nil? || $LOADED_FEATURES.any? { |path| path.end_with?("/bundler/setup.rb") }

      ENV["BUNDLE_GEMFILE"] = gemfile
      return unless asks_for_gems?

      require "bundler"
      Bundler.setup
    end

    def describe(configuration)
      {
        settings: configuration.settings.map(&:to_h),
        hooks: configuration.hooks.map { |hook| describe_hook(hook) },
        notices: configuration.notices.map(&:to_h),
        store: configuration.store,
        objects: configuration.objects.transform_values { |_, file, line| { file: file, line: line } },
        plugins: configuration.plugins.map { |p| { name: p.name, start: p.starts?, file: p.file, line: p.line } }
      }
    end

    def describe_hook(hook)
      { name: hook.name, written: hook.written, place: Hooks::PLACES[hook.name], file: hook.file, line: hook.line }
    end
  end
end

Serval::Evaluator.new(Serval::Settings.take(ENV)).run
