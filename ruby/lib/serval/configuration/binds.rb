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

      # Options of ssl_bind that become parameters of the address, in Puma's order; verify_mode, which is always there, stands
      # between those of PLAIN and the rest.
      ESCAPED = { cert: "cert", key: "key", key_password_command: "key_password_command" }.freeze
      PLAIN = %i[ssl_cipher_filter ssl_ciphersuites].freeze
      JRUBY = %i[keystore keystore_pass keystore_type truststore truststore_pass truststore_type ssl_cipher_list cipher_suites
                 protocols].freeze

      # options: Puma's, as cert:, key:, ca:, verify_mode:. cert_pem: and key_pem: are texts in place of paths.
      def ssl_bind(host, port, options = {})
        JRUBY.each do |name|
          note("#{name}:", "it is for JRuby; cert: and key: name PEM files here") if options[name]
        end
        bind("ssl://#{bracketed(host)}:#{whole(:ssl_bind, port)}?#{ssl_parameters(with_stored(options)).join("&")}")
      end

      private

      # Texts do not belong into an address, which is logged.
      def with_stored(options)
        %i[cert key].reduce(options) do |all, name|
          text = options[:"#{name}_pem"]
          text ? all.merge(name => "store:#{@configuration.store_text(text)}") : all
        end
      end

      # What Puma makes of no certificate and no key begins with an &.
      def ssl_parameters(options)
        verify = options.fetch(:verify_mode, "none").to_s
        first = ESCAPED.map { |name, written| "#{written}=#{escape(options[name])}" if options[name] }
        plain = PLAIN.map { |name| "#{name}=#{options[name]}" if options[name] }
        reuse = reuse_parameter(options[:reuse])
        rest = [
          ("reuse=#{reuse}" if reuse), "verify_mode=#{verify}", tls_parameter(options),
          ("ca=#{escape(options[:ca])}" if %w[peer force_peer].include?(verify)),
          ("verification_flags=#{Array(options[:verification_flags]).join(",")}" if options[:verification_flags]),
          ("backlog=#{whole(:ssl_bind, options[:backlog])}" if options[:backlog]),
          ("low_latency=#{options[:low_latency]}" if options.key?(:low_latency))
        ]
        found = (first + plain + rest).compact
        options[:cert] ? found : [""] + found
      end

      # Puma never writes that an old version is to be spoken: what it does not forbid is allowed. Here it has to be asked for.
      def tls_parameter(options)
        return "no_tlsv1_1=true" if options[:no_tlsv1_1]
        return "no_tlsv1=true" if options[:no_tlsv1]

        "no_tlsv1=false" if options[:no_tlsv1] == false && options[:no_tlsv1_1] == false
      end

      # true, or {size:, timeout:}.
      def reuse_parameter(reuse)
        return "dflt" if reuse == true
        return unless reuse.is_a?(Hash)

        size, timeout = reuse.values_at(:size, :timeout).map { |number| number if number.is_a?(Integer) }
        "#{size}#{",#{timeout}" if timeout}" if size || timeout
      end

      # As in a form (application/x-www-form-urlencoded), which Puma's addresses are written in.
      def escape(value)
        value.to_s.b.gsub(/[^*\-.\w ]/n) { |byte| format("%%%02X", byte.ord) }.tr(" ", "+")
      end

      # An IPv6 address needs brackets in a URL.
      def bracketed(host)
        host.to_s.include?(":") && !host.to_s.start_with?("[") ? "[#{host}]" : host
      end
    end
  end
end
