# frozen_string_literal: true

require_relative "failure"
require_relative "log"

module Serval
  # What the configuration files hold for this process: blocks to run, and objects to use. Without files it holds nothing.
  class Blocks
    NONE = [].freeze

    # Evaluates the configuration files: they are Ruby, and each process that runs their blocks needs them.
    def self.load(settings)
      return new(nil) if settings.config.empty? && settings.plugins.empty?

      require_relative "configuration"
      new(Configuration.load(settings.config, environment: settings.environment, workers: settings.workers,
                                              plugins: settings.plugins))
    end

    def initialize(configuration)
      @configuration = configuration
      Log.formatter = configuration&.log_formatter
    end

    # Runs the blocks of +name+ in their order; what one raises goes to the log.
    def run(name, *args)
      @configuration&.hooks&.run(name, *args)
      nil
    end

    def any?(name)
      @configuration ? @configuration.hooks.any?(name) : false
    end

    # What the files have set, by the names of Puma's DSL.
    def options
      @configuration ? @configuration.options : {}
    end

    # The Rack app of the configuration, nil when it is in a rackup file.
    def app
      @configuration&.app
    end

    # Whether each request is to run in a Fiber of its own.
    def fiber_per_request?
      @configuration ? @configuration.option(:fiber_per_request, false) : false
    end

    def lowlevel_error_handler
      @configuration&.lowlevel_error_handler
    end

    # Gives a line of the log to the app's logger, without its newline, as Puma does. What that fails on goes to standard
    # output as it is: no line gets lost.
    def log(line)
      text = Log.formatted(Failure.utf8(line).chomp)
      logger = @configuration&.custom_logger
      return logger.write(text) if logger

      $stdout.write("#{text}\n")
    rescue StandardError
      $stdout.write(line)
    end

    # Lets plugins begin. launcher: what they know as Puma's.
    def start_plugins(launcher)
      @configuration&.start_plugins(launcher)
    end
  end
end
