# frozen_string_literal: true

module Serval
  class Configuration
    # Arguments of the DSL's methods, checked. Each raises a Refusal that names the method.
    module Values
      private

      def whole(method, value, at_least: 0)
        number = Integer(value)
        raise Refusal, "#{method} #{value.inspect}: give at least #{at_least}" if number < at_least

        number
      rescue ArgumentError, TypeError, FloatDomainError
        raise Refusal, "#{method} #{value.inspect}: give a whole number"
      end

      # Seconds, as a number that prints like one of the command line.
      def seconds(method, value)
        number = Float(value)
        raise Refusal, "#{method} #{value.inspect}: give seconds, at least 0" if number.negative? || !number.finite?

        number == number.to_i ? number.to_i : number
      rescue ArgumentError, TypeError
        raise Refusal, "#{method} #{value.inspect}: give a number of seconds"
      end

      def words(method, value)
        text = value.to_s
        raise Refusal, "#{method} #{value.inspect}: give a text" if text.empty? || text.include?("\0")

        text
      end

      def callable(method, object, block)
        object ||= block
        raise Refusal, "#{method} needs an object with a method call, or a block" unless object.respond_to?(:call)

        object
      end
    end
  end
end
