# frozen_string_literal: true

# Stands in for Puma where a plugin is there and Puma is not.
module Puma
  class << self
    # Answers `stats`, with a Hash.
    attr_writer :stats_object

    def stats_hash
      @stats_object ? @stats_object.stats : {}
    end

    def stats
      require "json"
      JSON.generate(stats_hash)
    end

    def set_thread_name(name) # rubocop:disable Naming/AccessorMethodName -- Puma's
      Thread.current.name = "puma #{name}"
    end
  end
end
