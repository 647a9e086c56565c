# frozen_string_literal: true

require_relative "process"

module Serval
  class Pill
    # What Bluepill.application makes.
    class Application < Settings
      # The attributes that processes get from their application.
      INHERITED = %i[working_dir uid gid environment auto_start].freeze

      attr_reader :name

      def initialize(name, options, place)
        super()
        @name = name.to_s
        @options = options
        @place = place
        @processes = []
      end

      def evaluate(block)
        run(block)
      end

      def process(name, &block)
        raise Refusal, "the process #{name} needs a block" unless block

        process = Process.new(name, @settings.merge(pid_file: default_pid_file(name)), Pill.current.position)
        @processes << process
        process.evaluate(block)
      end

      def to_h
        { name: @name, options: Value.report(@options), base_dir: base_dir.to_s, processes: @processes.map(&:to_h) }.merge(@place)
      end

      private

      def base_dir
        @options[:base_dir] || Pill.current.base_dir
      end

      def default_pid_file(name)
        path = File.join(base_dir.to_s, "pids", @name, "#{name.to_s.gsub(/[^A-Za-z0-9_-]/, "_")}.pid")
        Setting.new(path, Pill.current.position.merge(default: true))
      end

      def set(name, value)
        unless INHERITED.include?(name.to_sym)
          raise Refusal, "an application has no #{name}: it has #{INHERITED.join(", ")}; set the others in each process"
        end

        super
      end
    end
  end
end
