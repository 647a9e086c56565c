# frozen_string_literal: true

require_relative "settings"

module Serval
  class Pill
    # What a block says about checks.
    module Checks
      def checks(name, options = {})
        @checks << { name: name.to_s, options: Value.report(options) }.merge(Pill.current.position)
      end
    end

    # A process of an application.
    class Process < Settings
      include Checks

      # What a child takes from the process whose child it is.
      INHERITED = %i[start_grace_time stop_grace_time restart_grace_time].freeze

      attr_reader :name

      def initialize(name, settings, place)
        super(settings)
        @name = name
        @place = place
        @checks = []
        @children = nil
      end

      def evaluate(block)
        run(block)
        @children&.evaluate(@settings.slice(*INHERITED))
      end

      def monitor_children(&block)
        raise Refusal, "monitor_children needs a block" unless block

        @children = Children.new(block, Pill.current.position)
      end

      def to_h
        { name: name.to_s, attributes: settings_report, checks: @checks, children: @children&.to_h }.merge(@place)
      end
    end

    # What is said about the children of a process, once for all of them. Bluepill evaluates it for each; the one thing that
    # differs from child to child is its process id, and {{PID}} stands for that.
    class Children < Settings
      include Checks

      PID = "{{PID}}"

      def initialize(block, place)
        super()
        @block = block
        @place = place
        @checks = []
      end

      def name
        "<child(pid:#{PID})>"
      end

      def evaluate(inherited)
        @settings = inherited.merge(actual_pid: Setting.new(PID, @place))
        run(@block)
      end

      def to_h
        { attributes: settings_report, checks: @checks }.merge(@place)
      end
    end
  end
end
