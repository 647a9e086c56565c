# frozen_string_literal: true

module Serval
  class Configuration
    # Where Serval listens.
    module Binds
      def bind(url)
        @configuration.set("bind", words(:bind, url))
        (@binds ||= []) << url
        @configuration.choose(:binds, @binds)
      end

      def clear_binds!
        @configuration.forget("bind", "port")
        @configuration.choose(:binds, @binds = [])
      end

      # Without a host: on every address.
      def port(port, host = nil)
        port = whole(:port, port)
        host ||= @default_host
        return bind("tcp://#{bracketed(host)}:#{port}") if host

        record(:port, "port", port)
      end

      # The host for `port` from here on; returns it when called without one.
      def default_host(host = nil)
        @default_host = host.to_s if host
        @default_host
      end

      def set_default_host(host) # rubocop:disable Naming/AccessorMethodName -- Puma's
        @default_host = words(:set_default_host, host)
      end

      def bind_to_activated_sockets(bind = true) # rubocop:disable Style/OptionalBooleanParameter -- Puma's, as below
        record(:bind_to_activated_sockets, "bind-to-activated-sockets", bind || "", chosen: bind)
      end

      # options: Puma's, as cert:, key:, ca:, verify_mode:.
      def ssl_bind(host, port, options = {})
        query = options.map { |key, value| "#{key}=#{Array(value).join(",")}" unless key.to_s.end_with?("_pem") }.compact
        bind("ssl://#{bracketed(host)}:#{whole(:ssl_bind, port)}#{"?#{query.join("&")}" unless query.empty?}")
      end

      private

      # An IPv6 address needs brackets in a URL.
      def bracketed(host)
        host.to_s.include?(":") && !host.to_s.start_with?("[") ? "[#{host}]" : host
      end
    end
  end
end
