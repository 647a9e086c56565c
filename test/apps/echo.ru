# Says what arrived: the env at /env, its encodings at /encodings, the body at /body, the body's digest at /digest.
# frozen_string_literal: true

require "digest"
require "json"

json = lambda do |object|
  [200, { "content-type" => "application/json" }, [JSON.pretty_generate(object) << "\n"]]
end

# A value as JSON can hold it. Objects show only their class, so that two equal requests give two equal answers.
shown = lambda do |value|
  case value
  when String
    value.dup.force_encoding("UTF-8").scrub { |bytes| bytes.unpack1("H*").gsub(/../, '\\x\&') }
  when Symbol, Numeric, true, false, nil then value
  when Array then value.map(&shown)
  else "(#{value.class})"
  end
end

sorted = ->(env, &what) { env.sort.to_h { |key, value| [key, what.call(value)] } }
strings = ->(env) { env.select { |_, value| value.is_a?(String) } }

# Reads in small pieces, so that an upload of any size needs one buffer.
digest = lambda do |input|
  sha256 = Digest::SHA256.new
  size = 0
  buffer = String.new
  while input.read(64 * 1024, buffer)
    size += buffer.bytesize
    sha256 << buffer
  end
  { "size" => size, "sha256" => sha256.hexdigest }
end

run(lambda do |env|
  case env["PATH_INFO"]
  when "/encodings"
    json.call(sorted.call(strings.call(env)) { |value| value.encoding.name })
  when "/frozen" # keys whose strings are frozen
    json.call(strings.call(env).select { |_, value| value.frozen? }.keys.sort)
  when "/body"
    body = env["rack.input"].read
    [200, { "content-type" => env["CONTENT_TYPE"] || "application/octet-stream" }, [body]]
  when "/digest"
    json.call(digest.call(env["rack.input"]))
  when "/unread" # leaves the body where it is
    [200, { "content-type" => "text/plain" }, ["not read\n"]]
  else
    json.call(sorted.call(env, &shown))
  end
end)
