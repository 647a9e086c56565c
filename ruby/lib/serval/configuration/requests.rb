# frozen_string_literal: true

module Serval
  class Configuration
    # Connections and requests.
    module Requests
      # Time for a request's head.
      def first_data_timeout(timeout)
        record(:first_data_timeout, "header-timeout", seconds(:first_data_timeout, timeout))
      end

      # Time between two requests of a connection.
      def persistent_timeout(timeout)
        record(:persistent_timeout, "keepalive-timeout", seconds(:persistent_timeout, timeout))
      end

      # Requests of one connection; Float::INFINITY is no limit.
      def max_keep_alive(count)
        unlimited = count.is_a?(Float) && count.infinite?
        record(:max_keep_alive, "max-keepalive", unlimited ? 0 : whole(:max_keep_alive, count, at_least: 1), chosen: count)
      end

      # The name it had before Puma 7.
      def max_fast_inline(count)
        unlimited = count.is_a?(Float) && count.infinite?
        record(:max_fast_inline, "max-keepalive", unlimited ? 0 : whole(:max_fast_inline, count, at_least: 1), chosen: count)
      end

      def enable_keep_alives(answer = true) # rubocop:disable Style/OptionalBooleanParameter
        @configuration.choose(:enable_keep_alives, answer)
        @keep_alives = answer ? nil : @configuration.position
      end

      def early_hints(answer = true) # rubocop:disable Style/OptionalBooleanParameter
        record(:early_hints, "early-hints", answer ? true : false)
      end

      def http_content_length_limit(bytes)
        record(:http_content_length_limit, "max-body", bytes.nil? ? 0 : whole(:http_content_length_limit, bytes), chosen: bytes)
      end

      # :any, or a list of methods; others get 501.
      def supported_http_methods(methods)
        list = methods.to_s == "any" ? ["any"] : Array(methods).map(&:to_s)
        if list.empty? || list.any? { |name| !name.match?(/\A[!#$%&'*+.^_`|~0-9A-Za-z-]+\z/) }
          raise Refusal, "supported_http_methods #{methods.inspect}: give :any or a list of methods"
        end

        record(:supported_http_methods, "http-methods", list.join(","), chosen: methods)
      end

      # Whether headers with an underscore in their names reach the app.
      def allow_underscore_headers(answer = true) # rubocop:disable Style/OptionalBooleanParameter
        record(:allow_underscore_headers, "no-underscore-headers", answer ? false : true, chosen: answer)
      end

      # Runs each request in a Fiber of its own: what the app leaves in Thread.current[] is gone after it.
      def fiber_per_request(answer = true) # rubocop:disable Style/OptionalBooleanParameter
        @configuration.choose(:fiber_per_request, answer ? true : false)
      end

      # The name it had before Puma 7.
      def clean_thread_locals(answer = true) # rubocop:disable Style/OptionalBooleanParameter
        fiber_per_request(answer)
      end

      # nil: what the connection is.
      def rack_url_scheme(scheme = nil)
        unless [nil, "http", "https"].include?(scheme && scheme.to_s)
          raise Refusal, "rack_url_scheme #{scheme.inspect}: give \"http\" or \"https\""
        end

        record(:rack_url_scheme, "url-scheme", scheme.to_s, chosen: scheme)
      end

      # :socket, :localhost, an address, {header: NAME} or {proxy_protocol: :v1}.
      def set_remote_address(value = :socket) # rubocop:disable Naming/AccessorMethodName -- Puma's
        record(:remote_address, "remote-address", remote_source(value), chosen: value)
      end

      private

      def remote_source(value)
        case value
        when :socket then "socket"
        when :localhost then "127.0.0.1"
        when String then words(:set_remote_address, value)
        when Hash
          return "header:#{value[:header]}" if value[:header]
          return "proxy_protocol:v1" if value[:proxy_protocol].to_s.downcase == "v1"
        end || raise(Refusal, "set_remote_address #{value.inspect}: give :socket, :localhost, an address, " \
                              "header: \"X-Real-IP\" or proxy_protocol: :v1")
      end

      # Wins over persistent_timeout wherever that stands.
      def settle_keep_alive
        @configuration.set_at(@keep_alives, "keepalive-timeout", 0) if @keep_alives
      end
    end
  end
end
