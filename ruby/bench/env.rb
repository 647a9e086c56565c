# frozen_string_literal: true

# How an env is best made of a request: ruby ruby/bench/env.rb [--yjit goes before the file]
require_relative "measure"
require_relative "../lib/serval/settings"
require_relative "../lib/serval/env"

ENTRIES = %w[
  REQUEST_METHOD=GET SERVER_PROTOCOL=HTTP/1.1 rack.url_scheme=http SERVER_NAME SERVER_PORT REMOTE_ADDR PATH_INFO
  REQUEST_URI QUERY_STRING HTTP_HOST HTTP_USER_AGENT HTTP_ACCEPT HTTP_ACCEPT_ENCODING HTTP_ACCEPT_LANGUAGE HTTP_COOKIE
].freeze
VALUES = ["localhost", "9292", "127.0.0.1", "/hello", "/hello?a=1", "a=1", "localhost:9292",
          "Mozilla/5.0 (X11; Linux x86_64)", "*/*", "gzip, deflate, br", "en-US,en;q=0.9",
          "session=abcdefghijklmnopqrstuvwxyz0123456789"].freeze
KEYS = ENTRIES.reject { |entry| entry.include?("=") }.freeze

def request(shape, words)
  Serval::Wire.frame(Serval::Wire::REQUEST, 1, code: shape, head: words.map { |word| "#{word}\0" }.join)
end

builder = Serval::Env.new(Serval::Settings.new("threads=5\nversion=1"), rack: "2.2.0")
builder.define(1, ENTRIES.map { |entry| "#{entry}\0" }.join)
in_shape = request(1, VALUES)
in_pairs = request(0, ENTRIES.flat_map { |entry| entry.split("=", 2).then { |k, v| [k, v || VALUES[KEYS.index(k)]] } })
Request = Struct.new(:id, :env)
request = Request.new
builder.build(1, in_shape, request)
example = request.env
constants = example.reject { |key, _| KEYS.include?(key) }.freeze
CONSTANTS = constants.values.freeze
format = "@16#{"Z*" * KEYS.size}"
names = KEYS.each_index.map { |i| "v#{i}" }
literal = eval(<<~RUBY) # rubocop:disable Security/Eval, Style/EvalWithLocation
  # frozen_string_literal: true
  lambda do |frame|
    #{names.join(", ")} = frame.unpack(#{format.dump})
    { #{constants.keys.each_with_index.map { |key, i| "#{key.dump} => CONSTANTS[#{i}]" }.join(", ")},
      #{KEYS.zip(names).map { |key, name| "#{key.dump} => #{name}" }.join(", ")} }
  end
RUBY
marshalled = Marshal.dump(KEYS.zip(VALUES).to_h)

Measure.compare("env of #{example.size} keys, #{KEYS.size} of them with values of the request",
                "shape: copy a hash, store the values" => ->(n) { n.times { builder.build(1, in_shape, request) } },
                "a hash literal of all keys" => ->(n) { n.times { literal.call(in_shape) } },
                "shape 0: pairs" => ->(n) { n.times { builder.build(0, in_pairs, request) } },
                "zip and merge" => ->(n) { n.times { constants.merge(KEYS.zip(in_shape.unpack(format)).to_h) } },
                "Marshal and merge" => ->(n) { n.times { constants.merge(Marshal.load(marshalled)) } })
Measure.compare("of which",
                "unpack the values" => ->(n) { n.times { in_shape.unpack(format) } },
                "copy the hash" => ->(n) { n.times { example.dup } })
