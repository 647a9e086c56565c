# Rack::Lint around every way to read a request body and every kind of response it allows, and the two hijacks.
# frozen_string_literal: true

require "rack/lint"

text = ->(body) { [200, { "content-type" => "text/plain" }, [body]] }

# Rack 2 promises rewind, Rack 3 leaves it to the server.
read_twice = lambda do |input|
  first = input.read
  next "cannot rewind" unless input.respond_to?(:rewind)

  input.rewind
  "#{first}|#{input.read}"
end

read_by = lambda do |input, size|
  parts = []
  while (part = input.read(size))
    parts << part
  end
  parts
end

read_into_buffer = lambda do |input|
  buffer = String.new
  parts = []
  parts << buffer.dup while input.read(7, buffer)
  parts
end

lines = lambda do |input|
  found = []
  while (line = input.gets)
    found << line
  end
  found
end

routes = {
  "/" => ->(_env) { text.call("lint is content\n") },
  "/read" => ->(env) { text.call(env["rack.input"].read) },
  "/read7" => ->(env) { text.call(read_by.call(env["rack.input"], 7).join("|")) },
  "/buffer" => ->(env) { text.call(read_into_buffer.call(env["rack.input"]).join("|")) },
  "/gets" => ->(env) { text.call(lines.call(env["rack.input"]).join("|")) },
  "/each" => ->(env) { text.call(env["rack.input"].to_enum(:each).to_a.join("|")) },
  "/rewind" => ->(env) { text.call(read_twice.call(env["rack.input"])) },
  "/at-end" => lambda do |env| # what a body read to its end still answers
    input = env["rack.input"]
    input.read
    text.call([input.read, input.read(1), input.gets].inspect)
  end,
  "/errors" => lambda do |env|
    env["rack.errors"].puts("puts to rack.errors")
    env["rack.errors"].write("write to rack.errors\n")
    env["rack.errors"].flush
    text.call("written\n")
  end,
  "/length" => ->(_env) { [200, { "content-type" => "text/plain", "content-length" => "6" }, ["sized\n"]] },
  "/parts" => ->(_env) { [200, { "content-type" => "text/plain" }, Enumerator.new { |y| 3.times { |i| y << "part #{i}\n" } }] },
  "/empty" => ->(_env) { [204, {}, []] },
  "/cookies" => lambda do |_env| # Rack 3 took arrays in place of newlines
    cookies = %w[a=1 b=2]
    cookies = cookies.join("\n") if Rack.release < "3"
    [200, { "content-type" => "text/plain", "set-cookie" => cookies }, ["two cookies\n"]]
  end,
  "/hijack" => lambda do |env|
    io = env["rack.hijack"].call
    io.write("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhijacked\n")
    io.close
    text.call("nobody sees this\n")
  end,
  "/partial" => lambda do |_env|
    write = lambda do |io|
      io.write("partly hijacked\n")
      io.close
    end
    [200, { "content-type" => "text/plain", "rack.hijack" => write }, []]
  end
}
missing = ->(_env) { [404, { "content-type" => "text/plain" }, ["no such path\n"]] }

use Rack::Lint
run ->(env) { routes.fetch(env["PATH_INFO"], missing).call(env) }
