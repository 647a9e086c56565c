# frozen_string_literal: true

module Serval
  class Configuration
    # Puma's plugins from other gems: a file puma/plugin/NAME on the load path, which calls Puma::Plugin.create.
    class Plugins
      Plugin = Struct.new(:name, :instance, :file, :line) do
        def starts?
          instance.respond_to?(:start)
        end
      end

      include Enumerable

      def initialize
        @plugins = []
        @configured = 0
      end

      def add(name, file, line)
        @plugins << Plugin.new(name, instance(name), file, line)
      end

      def each(&block)
        @plugins.each(&block)
      end

      # Runs the configuration of those that have come since the last time.
      def configure(dsl)
        fresh = @plugins.drop(@configured)
        @configured = @plugins.size
        fresh.each { |plugin| plugin.instance.config(dsl) if plugin.instance.respond_to?(:config) }
      end

      # launcher: what they know as Puma's.
      def start(launcher)
        return if @plugins.empty?

        @plugins.each do |plugin|
          plugin.instance.start(launcher) if plugin.starts?
        rescue StandardError => e
          Log.error("plugin #{plugin.name} (#{plugin.file}:#{plugin.line}) failed to start: #{e.class}: #{e.message}")
        end
        ::Puma::Plugins.fire_background
      end

      private

      def instance(name)
        require_relative "../puma"
        kind = ::Puma::Plugins.find(name)
        kind.instance_method(:initialize).arity == 1 ? kind.new(nil) : kind.new # up to Puma 4 it took its loader
      rescue LoadError, RuntimeError => e # Puma::UnknownPlugin is one
        raise Refusal, "cannot load the plugin #{name}: #{e.message}"
      end
    end
  end
end
