# Every kind of response body and header value. Whose body was closed, in order, is told at /closed (one worker only).
# frozen_string_literal: true

require "json"
require "rack/body_proxy"

closed = Queue.new

# A body that yields parts and records its close. Unlike an array it says nothing of its length.
class Parts
  def initialize(parts, &closed)
    @parts = parts
    @closed = closed
  end

  def each(&block)
    @parts.each(&block)
  end

  def close
    @closed.call
  end
end

# The same as a file, which a server may send without calling each.
class FileParts < Parts
  attr_reader :to_path

  def initialize(path, parts, &closed)
    @to_path = path
    super(parts, &closed)
  end
end

# A body of Rack 3 that writes by itself.
class Streaming
  def initialize(&stream)
    @stream = stream
  end

  def call(stream)
    @stream.call(stream)
  end
end

KB = 1024
MB = 1024 * KB
pattern = [*"a".."z"].join
block = (pattern * (64 * KB / pattern.size + 1))[0, 64 * KB].freeze # 64 KiB

# Bytes out of 64 KiB blocks, without ever holding them together.
generated = ->(size) { Enumerator.new { |y| (size / block.size).times { y << block }; y << block[0, size % block.size] } }

plain = { "content-type" => "text/plain" }.freeze
answer = ->(body, headers = {}, status = 200) { [status, plain.merge(headers), body] }
recorded = ->(query, name, parts) { Parts.new(parts) { closed << query.fetch("tag", name) } }
size_of = ->(query) { query.fetch("bytes", 0).to_i + query.fetch("kb", 0).to_i * KB + query.fetch("mb", 0).to_i * MB }

routes = {
  "/array" => ->(_) { answer.call(["one\n", "two\n", "three\n"]) },
  "/one" => ->(_) { answer.call(["one part\n"]) },
  "/empty" => ->(_) { answer.call([]) },
  "/empty-parts" => ->(_) { answer.call(["", "not empty\n", ""]) },
  "/each" => ->(q) { answer.call(recorded.call(q, "/each", ["one\n", "two\n", "three\n"])) },
  "/no-parts" => ->(q) { answer.call(recorded.call(q, "/no-parts", [])) },
  "/delayed" => lambda do |q| # n parts, s seconds before each but the first
    parts = Enumerator.new do |y|
      q.fetch("n", 3).to_i.times do |i|
        sleep(q.fetch("s", 0.05).to_f) if i.positive?
        y << "part #{i}\n"
      end
    end
    answer.call(recorded.call(q, "/delayed", parts))
  end,
  "/call" => ->(_) { answer.call(Streaming.new { |stream| 3.times { |i| stream.write("part #{i}\n") }; stream.close }) },
  "/proxy" => ->(q) { answer.call(Rack::BodyProxy.new(["wrapped\n"]) { closed << q.fetch("tag", "/proxy") }) },

  # file= names any file of this machine; the default is this one. What each would yield shows which of both was sent.
  "/file" => ->(q) { answer.call(FileParts.new(q.fetch("file", __FILE__), ["from each\n"]) { closed << q.fetch("tag", "/file") }) },
  "/file-length" => lambda do |q|
    path = q.fetch("file", __FILE__)
    answer.call(FileParts.new(path, ["from each\n"]) { closed << q.fetch("tag", "/file-length") }, "content-length" => File.size(path).to_s)
  end,
  "/file-gone" => ->(_) { answer.call(FileParts.new("/nonexistent", ["from each\n"]) { closed << "/file-gone" }) },
  "/file-proxy" => lambda do |q|
    file = FileParts.new(q.fetch("file", __FILE__), ["from each\n"]) { closed << "/file-proxy inside" }
    answer.call(Rack::BodyProxy.new(file) { closed << "/file-proxy" })
  end,
  "/io" => ->(q) { answer.call(File.open(q.fetch("file", __FILE__), "rb")) },

  # bytes=, kb= and mb= add up.
  "/string" => ->(q) { answer.call([generated.call(size_of.call(q)).to_a.join]) },
  "/big-array" => ->(q) { answer.call(generated.call(size_of.call(q)).to_a) },
  "/generate" => lambda do |q|
    size = size_of.call(q)
    headers = q.key?("length") ? { "content-length" => size.to_s } : {}
    answer.call(recorded.call(q, "/generate", generated.call(size)), headers)
  end,

  "/nil-header" => ->(_) { answer.call(["a nil header\n"], "x-nil" => nil) },
  "/empty-header" => ->(_) { answer.call(["an empty header\n"], "x-empty" => "") },
  "/integer-header" => ->(_) { answer.call(["a number\n"], "x-integer" => 42) },
  "/array-header" => ->(_) { answer.call(["three values\n"], "x-list" => %w[a b c]) },
  "/newline-header" => ->(_) { answer.call(["two values\n"], "x-lines" => "a\nb") },
  "/mixed-case-header" => ->(_) { [200, { "Content-Type" => "text/plain", "X-MiXeD" => "Yes" }, ["mixed\n"]] },
  "/connection-close" => ->(_) { answer.call(["the last one here\n"], "connection" => "close") },
  "/date" => ->(_) { answer.call(["a date of its own\n"], "date" => "Thu, 01 Jan 1970 00:00:00 GMT") },
  "/chunked-by-app" => ->(_) { answer.call(["4\r\nwell\r\n", "0\r\n\r\n"], "transfer-encoding" => "chunked") },

  # status= is any, the body is there even where HTTP allows none; length= adds a Content-Length.
  "/status" => lambda do |q|
    headers = q.key?("length") ? { "content-length" => q["length"] } : {}
    answer.call(recorded.call(q, "/status", [q.fetch("body", "a body\n")]), headers, q.fetch("status", 200).to_i)
  end,
  # declared= is what Content-Length says, actual= what follows; ask for both, as they should differ.
  "/length" => lambda do |q|
    answer.call(recorded.call(q, "/length", ["x" * q.fetch("actual").to_i]), "content-length" => q.fetch("declared"))
  end,

  "/closed" => ->(_) { [200, { "content-type" => "application/json" }, [Array.new(closed.size) { closed.pop }.to_json]] }
}
missing = ->(_) { answer.call(["no such path\n"], {}, 404) }

run(lambda do |env|
  query = Rack::Utils.parse_query(env["QUERY_STRING"])
  routes.fetch(env["PATH_INFO"], missing).call(query)
end)
