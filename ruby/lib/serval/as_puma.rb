# frozen_string_literal: true

module Serval
  # What gems and apps ask of Puma in the process that serves them: Puma.stats, Puma.cli_config and Puma::Server.current
  # answer for Serval, where the app has loaded the gem. Where it has not, there is nothing to ask: an app that looks for
  # Puma, to learn which server it runs in, does not find it.
  module AsPuma
    module_function

    # launcher: answers `stats`. options: the configuration, by the names of Puma's DSL. To be called again when more was
    # loaded.
    def answer(launcher, options)
      return unless defined?(::Puma)

      ::Puma.stats_object = launcher if ::Puma.respond_to?(:stats_object=)
      # By the file that is Puma's command line, which nobody has read here.
      ::Puma.singleton_class.attr_accessor(:cli_config) unless ::Puma.respond_to?(:cli_config=)
      ::Puma.cli_config = Config.new(options)
    end

    # Puma::Server.current, in this thread, is about a crew from now on. It looks in one of two places: Puma 7 in an
    # attribute that it gives to threads.
    def enter(crew)
      return unless defined?(::Puma)

      Thread.attr_accessor(:puma_server) unless Thread.method_defined?(:puma_server=)
      Thread.current.puma_server = Thread.current[:puma_server] = Server.new(crew)
    end

    # The effective configuration: what the front has settled, and beyond that what the files say.
    def options(settings, blocks, preloaded)
      blocks.options.merge(
        workers: settings.workers, min_threads: settings.threads, max_threads: settings.threads,
        environment: settings.environment, rackup: settings.rackup, tag: settings.tag, preload_app: preloaded,
        early_hints: settings.early_hints?, directory: Dir.pwd, config_files: settings.config
      )
    end

    # Stands for Puma::Configuration, to be read.
    Config = Struct.new(:values) do
      def options
        @options ||= Options.new(values)
      end

      def environment
        values[:environment]
      end

      def rackup
        values[:rackup]
      end
    end

    # Stands for Puma::UserFileDefaultOptions: all layers are one here.
    class Options
      def initialize(values)
        @values = values
      end

      def [](name)
        @values[name]
      end

      def fetch(name, default = nil)
        @values.fetch(name, default)
      end

      def key?(name)
        @values.key?(name)
      end

      def all_of(name)
        Array(@values[name])
      end

      def final_options
        @values.dup
      end

      alias to_h final_options
      alias user_options final_options
      alias file_options final_options
      alias default_options final_options
    end

    # Stands for Puma::Server: this process's threads.
    Server = Struct.new(:crew) do
      def stats
        crew.stats
      end

      %i[backlog running pool_capacity busy_threads max_threads requests_count].each do |name|
        define_method(name) { stats[name] }
      end

      def shutting_down?
        crew.dismissed? || false
      end
    end
  end
end
