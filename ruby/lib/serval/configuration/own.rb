# frozen_string_literal: true

module Serval
  class Configuration
    # Serval's own settings, each under its flag's name with underscores. They take what Ruby or the command line writes:
    # request_timeout 2.5, max_body "10M", worker_max_age "12h".
    module Own
      # Those with a value.
      VALUES = %w[
        boot-timeout shutdown-timeout hijack-timeout worker-memory-limit worker-max-requests worker-max-age
        request-timeout queue-limit queue-timeout spool-dir ruby yjit accelerator
        max-connections header-timeout body-timeout min-body-rate write-timeout keepalive-timeout
        max-keepalive max-target max-header max-headers max-body
        remote-address url-scheme http-methods log-format
        control-url control-token state dir redirect-stdout redirect-stderr
      ].freeze

      # Those that are on or off.
      SWITCHES = %w[
        preload out-of-band-gc quiet-term tmp-restart control-data-only request-id no-underscore-headers silent
        redirect-append no-redirect-append
      ].freeze

      # Those that take any number of values, in one call or more.
      LISTS = %w[env-file include].freeze

      VALUES.each do |name|
        method = name.tr("-", "_").to_sym
        define_method(method) { |value| record(method, name, words(method, value), chosen: value) }
      end

      SWITCHES.each do |name|
        method = name.tr("-", "_").to_sym
        define_method(method) { |on = true| record(method, name, on ? true : false) }
      end

      LISTS.each do |name|
        method = name.tr("-", "_").to_sym
        define_method(method) { |*values| values.flatten.each { |value| record(method, name, words(method, value)) } }
      end
    end
  end
end
