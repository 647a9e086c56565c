# frozen_string_literal: true

require_relative "../hooks"
require_relative "values"
require_relative "binds"
require_relative "processes"
require_relative "requests"
require_relative "logs"
require_relative "blocks"
require_relative "leftovers"
require_relative "own"

module Serval
  class Configuration
    # `self` in a configuration file: the methods of Puma's DSL, those of its earlier versions included, and a method for
    # each of Serval's own settings. Most of them record a setting by its flag's name; what it is worth is for the front
    # to judge, so that a flag and a line in a file mean the same.
    class DSL
      include Values
      include Binds
      include Processes
      include Requests
      include Logs
      include Blocks
      include Leftovers
      include Own

      # Constants that Puma's DSL has, and that configuration files go by: `rackup DefaultRackup`.
      DefaultRackup = "config.ru" # rubocop:disable Naming/ConstantName -- Puma's, as the others
      DefaultTCPHost = "0.0.0.0" # rubocop:disable Naming/ConstantName
      DefaultTCPPort = 9292 # rubocop:disable Naming/ConstantName
      DefaultWorkerCheckInterval = 5 # rubocop:disable Naming/ConstantName
      DefaultWorkerTimeout = 60 # rubocop:disable Naming/ConstantName
      DefaultWorkerShutdownTimeout = 30 # rubocop:disable Naming/ConstantName

      def initialize(configuration)
        @configuration = configuration
      end

      # Evaluates another file, here and now.
      def load(file)
        @configuration.evaluate_file(file)
      end

      # Puma's plugins have a configuration of their own, which may call any method of this DSL.
      def plugin(name)
        case name.to_s
        when "tmp_restart" then record(:plugin, "tmp-restart", true, chosen: name)
        when "systemd" then nil # built in
        else @configuration.plugins.add(name.to_s, *@configuration.position)
        end
      end

      # Evaluates a block as if it were part of a file.
      def inject(&block)
        raise Refusal, "inject needs a block" unless block

        instance_eval(&block)
      end

      # The value that a method was called with before.
      def get(key, default = nil)
        value = @configuration.option(key)
        value.nil? ? default : value
      end

      # Evaluated after all files when there are no workers by number.
      def single(&block)
        @configuration.later(:single, block)
      end

      # Evaluated after all files when there are workers by number.
      def cluster(&block)
        @configuration.later(:cluster, block)
      end

      # What depends on several settings. Called once, after all files.
      def settle
        settle_keep_alive
        settle_shutdown
      end

      def self.known
        (instance_methods(false) + included_modules.take_while { |m| m != Kernel }.flat_map { |m| m.instance_methods(false) }).uniq -
          %i[settle method_missing respond_to_missing?]
      end

      # Unknown methods and misspelt ones; everything else that Ruby cannot find is none of ours.
      def method_missing(name, *)
        hint = DSL.suggestion(name)
        raise Refusal, "there is no setting called #{name}#{hint && ": did you mean #{hint}?"}"
      end

      def respond_to_missing?(*)
        false
      end

      def self.suggestion(name)
        return unless defined?(DidYouMean::SpellChecker)

        DidYouMean::SpellChecker.new(dictionary: known).correct(name).first
      end

      private

      def record(method, name, value, chosen: value)
        @configuration.set(name, value, option: method, chosen: chosen)
      end

      def note(method, text)
        @configuration.note(method, text)
      end
    end
  end
end
