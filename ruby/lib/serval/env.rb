# frozen_string_literal: true

require "stringio"
require_relative "wire"
require_relative "input"
require_relative "peer_certificates"

module Serval
  # Makes the Rack env of a request out of its frame.
  #
  # A shape is the list of keys that many requests have in common. For each one a lambda is compiled which copies a
  # hash that has every key already and then stores the values that differ. That is as fast as a hash literal of all
  # keys, faster the more keys are constant (a copied hash need not hash them again), and three times as fast as pairs
  # (bench/env.rb).
  class Env
    BODY_WAIT = "serval.body_wait_ms"
    PEER = "puma.peercert"
    NO_BODY = NullInput.new.freeze

    # Constants that each request gets as a string of its own all the same: what a client sent may be changed in place
    # by the app, `env["HTTP_X"].force_encoding(...)` is no rare sight. The front's own words are frozen.
    OWN = /\A(?:HTTP_|CONTENT_)/.freeze

    # rack: Rack.release. HTTP_VERSION left the SPEC with 3.1.
    def initialize(settings, rack:)
      @early_hints = settings.early_hints?
      # Key and copy. A client's `Version: 7` would come as HTTP_VERSION, too: a name that is a copy is not its own.
      @aliases = { "PATH_INFO" => "REQUEST_PATH" }
      @aliases["SERVER_PROTOCOL"] = "HTTP_VERSION" if (rack.split(".").map(&:to_i) <=> [3, 1]).negative?
      @template = template(settings).freeze
      @shapes = {}
      @definitions = {}
      @changing = Mutex.new
    end

    # Shape +number+ has the keys in +head+, each ending with NUL, with `=value` behind it if it is a constant.
    def define(number, head)
      @changing.synchronize do
        @definitions[number] = head
        @shapes[number] = shape(head)
      end
    end

    # From now on the shapes are in C, those that were defined before included. Returns them by number; those to come are added.
    def accelerate
      @changing.synchronize do
        @accelerated = true
        @shapes = @definitions.transform_values { |head| shape(head) }
      end
    end

    # Gives +exchange+ the id and the env of a REQUEST frame.
    def build(shape, frame, exchange)
      builder = @shapes[shape]
      size = builder ? builder.call(frame, exchange) : build_from_pairs(shape, frame, exchange)
      body = frame.bytesize - Wire::PREFIX_SIZE - size
      exchange.env["rack.input"] = StringIO.new(frame.byteslice(-body, body)) if body > 0
    end

    private

    # What every request of this worker has. nil stands for a value that comes with each request.
    def template(settings)
      {
        "rack.version" => [1, 6].freeze,
        "rack.errors" => $stderr,
        "rack.multithread" => settings.threads > 1,
        "rack.multiprocess" => settings.workers >= 1,
        "rack.run_once" => false,
        "rack.hijack?" => true,
        "SCRIPT_NAME" => ENV.fetch("SCRIPT_NAME", "").dup.freeze,
        "SERVER_SOFTWARE" => "serval #{settings.version}".freeze,
        "GATEWAY_INTERFACE" => "CGI/1.2",
        "puma.request_body_wait" => 0.0,
        "puma.mark_as_io_bound" => -> {},
        "serval.worker" => settings.index,
        "serval.version" => settings.version.dup.freeze,
        "rack.input" => NO_BODY,
        "rack.hijack" => nil,
        "rack.after_reply" => nil,
        "rack.response_finished" => nil
      }
    end

    def shape(head)
      constants, keys = head.split("\0").partition { |entry| entry.include?("=") }
      constants = constants.map { |entry| entry.split("=", 2) }.reject { |key, _| @aliases.value?(key) }
      base = base_of(constants, keys)
      return accelerated(base, constants, keys) if @accelerated && !keys.include?(PEER)

      eval(source(constants, keys), binding) # rubocop:disable Security/Eval, Style/EvalWithLocation -- see literal
    end

    def base_of(constants, keys)
      base = @template.dup
      constants.each { |key, value| base[key] = base[@aliases.fetch(key, key)] = value.freeze }
      (keys - [BODY_WAIT] - @aliases.values).each { |key| base[key] = base[@aliases.fetch(key, key)] = nil }
      base["rack.early_hints"] = nil if @early_hints
      base
    end

    # The twin in C of what source makes.
    def accelerated(base, constants, keys)
      own = constants.select { |key, _| OWN.match?(key) }.flat_map { |key, value| [key, @aliases[key], value] }
      values = keys.flat_map do |key|
        next ["puma.request_body_wait", true] if key == BODY_WAIT

        @aliases.value?(key) ? [nil, nil] : [key, @aliases[key]]
      end
      anew = ["rack.hijack", "rack.after_reply", "rack.response_finished", ("rack.early_hints" if @early_hints), "rack.input"]
      # The very keys of the hash: found without comparing their bytes.
      same = base.keys.to_h { |key| [key, key] }
      own, values, anew = [own, values, anew].map { |list| list.map { |word| same.fetch(word, word) }.freeze }
      Accelerator::Shape.new(base.freeze, own, values, anew)
    end

    # No frozen string literals in here: each evaluation of a literal gives a string of the request's own.
    def source(constants, keys)
      values = keys.each_index.map { |i| "v#{i}" }
      <<~RUBY
        # encoding: binary
        lambda do |frame, exchange|
          env = exchange.env = base.dup
          #{["exchange.id", "size", *values].join(", ")} = frame.unpack(#{literal("@8NN" + "Z*" * keys.size)})
          #{constants.map { |key, value| store(key, literal(value)) if OWN.match?(key) }.compact.join("\n  ")}
          #{keys.zip(values).map { |key, value| store(key, value) }.compact.join("\n  ")}
          env["rack.hijack"] = exchange
          env["rack.after_reply"] = []
          env["rack.response_finished"] = []
          #{'env["rack.early_hints"] = exchange.method(:hint)' if @early_hints}
          size
        end
      RUBY
    end

    def store(key, value)
      return "env[\"puma.request_body_wait\"] = #{value}.to_f" if key == BODY_WAIT
      return "env[PEER] = PeerCertificates[#{value}]" if key == PEER
      return if @aliases.value?(key)

      copy = @aliases[key]
      "env[#{literal(key)}] = #{"env[#{literal(copy)}] = " if copy}#{value}"
    end

    # Names and values come from clients. String#dump escapes quotes, backslashes, `#{` and all that is not ASCII, so
    # that nothing in them is ever read as code.
    def literal(string)
      string.b.dump
    end

    # Shape 0, for requests whose keys are too rare for a shape.
    def build_from_pairs(shape, frame, exchange)
      raise KeyError, "the front sent a request in shape #{shape}, which it never defined" unless shape.zero?

      exchange.id, size = frame.unpack("@8NN")
      env = exchange.env = @template.dup
      frame.byteslice(Wire::PREFIX_SIZE, size).split("\0", -1).each_slice(2) do |key, value|
        next env["puma.request_body_wait"] = value.to_f if key == BODY_WAIT
        next env[PEER] = PeerCertificates[value] if key == PEER
        next if value.nil? || @aliases.value?(key) # behind the last NUL comes an empty string on its own

        env[key] = value
        env[@aliases[key]] = value if @aliases.key?(key)
      end
      env["rack.hijack"] = exchange
      env["rack.after_reply"] = []
      env["rack.response_finished"] = []
      env["rack.early_hints"] = exchange.method(:hint) if @early_hints
      size
    end
  end
end
