# frozen_string_literal: true

require_relative "../failure"

module Serval
  class Pill
    # What of Ruby's values can cross to another program.
    module Value
      # Thrown with the name of what cannot.
      FOREIGN = :foreign

      module_function

      # { value: what crosses }, or { foreign: "Proc" }.
      def report(value)
        foreign = catch(FOREIGN) { return { value: cross(value) } }
        { value: nil, foreign: foreign }
      end

      def cross(value)
        case value
        when nil, true, false, Integer then value
        when String, Symbol then Failure.utf8(value.to_s)
        when Array then value.map { |element| cross(element) }
        when Hash then value.to_h { |key, element| [key.to_s, cross(element)] }
        when Regexp then { regexp: value.source, options: value.options }
        else cross_object(value)
        end
      end

      def cross_object(value)
        return number(value) if value.is_a?(Numeric) # as ActiveSupport's durations say they are
        return Failure.utf8(value.to_path) if value.respond_to?(:to_path)
        return value.to_s if defined?(URI::Generic) && value.is_a?(URI::Generic)

        throw FOREIGN, value.class.to_s
      end

      def number(value)
        float = value.to_f
        throw FOREIGN, float.to_s unless float.finite?

        float == float.to_i ? float.to_i : float
      end
    end
  end
end
