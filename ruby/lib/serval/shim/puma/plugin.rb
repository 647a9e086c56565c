# frozen_string_literal: true

require "puma"

module Puma
  class UnknownPlugin < RuntimeError; end

  # The plugins that were loaded, by name, and what they run in the background.
  class PluginRegistry
    def initialize
      @classes = {}
      @background = []
    end

    def register(name, plugin)
      @classes[name] = plugin
    end

    def find(name)
      return @classes[name] if @classes.key?(name)

      require "puma/plugin/#{name}"
      @classes.fetch(name) { raise UnknownPlugin, "puma/plugin/#{name}.rb registers no plugin of that name" }
    end

    def add_background(block)
      @background << block
    end

    def fire_background
      @background.each_with_index do |block, index|
        Thread.new do
          Puma.set_thread_name("plgn bg #{index}")
          block.call
        end
      end
    end
  end

  Plugins = PluginRegistry.new

  # The base class of plugins.
  class Plugin
    # Makes a plugin out of the methods in a block, named after the file it is called in.
    def self.create(&methods)
      name = File.basename(caller_locations(1, 1).first.path, ".rb")
      Plugins.register(name, Class.new(self, &methods))
    end

    def in_background(&block)
      Plugins.add_background(block)
    end
  end
end
