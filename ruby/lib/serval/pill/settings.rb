# frozen_string_literal: true

require_relative "value"

module Serval
  class Pill
    # Attributes in Bluepill's three styles: `p.uid = "deploy"`, `p.uid "deploy"` and `p.daemonize!`; `p.uid` reads one that
    # was set. Any name is taken, as in Bluepill, where some serve their file as variables.
    class Settings
      # An attribute's value with the place that set it.
      Setting = Struct.new(:value, :place) do
        def to_h
          Value.report(value).merge(place)
        end
      end

      def initialize(settings = {})
        @settings = settings.dup
      end

      # The values by their names.
      def attributes
        @settings.transform_values(&:value)
      end

      # For Ruby's sentences about what is missing: "undefined method `foo' for process web".
      def inspect
        "#{self.class.name.split("::").last.downcase} #{name}"
      end

      private

      def set(name, value)
        @settings[name.to_sym] = Setting.new(value, Pill.current.position)
      end

      def method_missing(name, *args)
        bare = name.to_s.chomp("=")
        if args.size == 1
          set(bare, args.first)
        elsif args.empty? && name.to_s.end_with?("!")
          set(name.to_s.chomp("!"), true)
        elsif args.empty? && @settings.key?(name)
          @settings[name].value
        else
          super
        end
      end

      def respond_to_missing?(name, _private = false)
        name.to_s.end_with?("=", "!") || @settings.key?(name)
      end

      # Runs a block as Bluepill does: as the object's own, which it is also given if it wants it.
      def run(block)
        block.arity.zero? ? instance_eval(&block) : instance_exec(self, &block)
      end

      def settings_report
        @settings.transform_values(&:to_h)
      end
    end
  end
end
