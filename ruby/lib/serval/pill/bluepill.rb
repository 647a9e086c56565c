# frozen_string_literal: true

# What a .pill file sees of Bluepill: its one function, and the names that are there to be extended.
module Bluepill
  module Version
    def self.to_s
      "0.1.3"
    end
  end

  def self.application(name, options = {}, &block)
    Serval::Pill.current.application(name, options, block)
  end

  module ProcessConditions
    # What checks of one's own are made from.
    class ProcessCondition
      def initialize(options = {})
        @options = options
      end
    end
  end

  # What triggers of one's own are made from.
  class Trigger
  end

  # What a class or module of a file is to Bluepill: "check", "trigger", "change" if it is in Bluepill's own code, or nil.
  def self.extended_by(klass)
    return "check" if klass.is_a?(Class) && klass < ProcessConditions::ProcessCondition
    return "trigger" if klass.is_a?(Class) && klass < Trigger

    "change" if klass.name.to_s.start_with?("Bluepill::") && klass != ProcessConditions
  end
end
