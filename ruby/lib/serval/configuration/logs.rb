# frozen_string_literal: true

module Serval
  class Configuration
    # What is written, and where to.
    module Logs
      def log_requests(which = true) # rubocop:disable Style/OptionalBooleanParameter
        record(:log_requests, "log-requests", which ? true : false)
      end

      def quiet(which = true) # rubocop:disable Style/OptionalBooleanParameter
        record(:log_requests, "log-requests", which ? false : true)
      end

      # nil leaves a stream where it is.
      def stdout_redirect(stdout = nil, stderr = nil, append = false) # rubocop:disable Style/OptionalBooleanParameter
        redirect(:redirect_stdout, "redirect-stdout", stdout)
        redirect(:redirect_stderr, "redirect-stderr", stderr)
        record(:redirect_append, "redirect-append", append ? true : false)
      end

      # Turns each line of the log into another.
      def log_formatter(&block)
        @configuration.keep(:log_formatter, callable(:log_formatter, nil, block))
      end

      # An object with a method write, which gets each line of the log.
      def custom_logger(logger)
        raise Refusal, "custom_logger needs an object with a method write" unless logger.respond_to?(:write)

        @configuration.keep(:custom_logger, logger)
      end

      private

      def redirect(option, name, path)
        @configuration.forget(name)
        return @configuration.choose(option, nil) if path.nil?

        record(option, name, words(:stdout_redirect, path), chosen: path)
      end
    end
  end
end
