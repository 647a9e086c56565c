# frozen_string_literal: true

module Serval
  class Hooks
    def initialize
      @blocks = Hash.new { |hash, name| hash[name] = [] }
      @shared = Hash.new { |hash, key| hash[key] = {} }
    end

    def add(name, key, block)
      @blocks[name] << [key, block]
    end

    def run(name, *args)
      @blocks[name].each do |key, block|
        block.call(*args, *(key ? [@shared[key]] : []))
      rescue StandardError => e
        warn "WARNING hook #{name} failed with exception (#{e.class}) #{e.message}"
      end
    end

    def any?(name)
      @blocks[name].any?
    end
  end

  class Configuration
    def self.load(paths, environment:, workers:)
      new.tap_files(paths)
    end

    def initialize
      @hooks = Hooks.new
    end

    attr_reader :hooks, :log_formatter, :custom_logger

    def tap_files(paths)
      paths.each { |path| instance_eval(File.read(path), path) }
      self
    end

    def start_plugins(_launcher) = nil
    def option(_name, default = nil) = default

    def app(app = nil, &block)
      (app || block) ? @app = app || block : @app
    end

    def lowlevel_error_handler(handler = nil, &block)
      (handler || block) ? @lowlevel = handler || block : @lowlevel
    end

    def method_missing(name, key = nil, &block)
      @hooks.add(name, key, block)
    end
  end
end
