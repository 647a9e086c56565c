# Connections taken over by the app: /full, /partial, /upgrade (101) echo lines; "bye" ends them, as does end of file.
# frozen_string_literal: true

# Echoes lines until "bye" or the end, then closes. A client that went away is no error.
echo = lambda do |io, head = ""|
  io.write("#{head}ready\n")
  while (line = io.gets)
    break if line.chomp == "bye"

    io.write("echo: #{line}")
  end
rescue SystemCallError, IOError
  nil
ensure
  io.close
end
in_a_thread = ->(io, head = "") { Thread.new { echo.call(io, head) } }

full_head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n"
ignored = [500, { "content-type" => "text/plain" }, ["nobody may see this\n"]].freeze
plain = { "content-type" => "text/plain" }.freeze

routes = {
  "/" => ->(env) { [200, plain.dup, ["rack.hijack? is #{env['rack.hijack?'].inspect}\n"]] },
  "/full" => lambda do |env|
    in_a_thread.call(env["rack.hijack"].call, full_head)
    ignored
  end,
  "/full-io" => lambda do |env| # by the key older apps read
    env["rack.hijack"].call
    in_a_thread.call(env["rack.hijack_io"], full_head)
    ignored
  end,
  "/full-here" => lambda do |env| # on the request's own thread
    echo.call(env["rack.hijack"].call, full_head)
    ignored
  end,
  "/full-after-body" => lambda do |env| # the body first, then the socket, with what the client sent behind the body
    body = env["rack.input"].read
    in_a_thread.call(env["rack.hijack"].call, "#{full_head}body: #{body}\n")
    ignored
  end,
  "/full-then-raise" => lambda do |env|
    io = env["rack.hijack"].call
    begin
      io.write("#{full_head}before the error\n")
    ensure
      io.close
    end
    raise "after a hijack"
  end,
  "/partial" => ->(_env) { [200, plain.merge("rack.hijack" => in_a_thread), []] },
  "/partial-here" => ->(_env) { [200, plain.merge("rack.hijack" => echo), []] },
  "/partial-length" => lambda do |_env|
    write = ->(io) { io.write("five\n") && io.close }
    [200, plain.merge("content-length" => "5", "rack.hijack" => write), []]
  end,
  "/partial-raise" => ->(_env) { [200, plain.merge("rack.hijack" => ->(_io) { raise "in a partial hijack" }), []] },
  "/upgrade" => lambda do |env|
    unless env["HTTP_UPGRADE"].to_s.casecmp?("echo")
      next [426, plain.merge("connection" => "upgrade", "upgrade" => "echo"), ["only with Upgrade: echo\n"]]
    end

    [101, { "connection" => "upgrade", "upgrade" => "echo", "rack.hijack" => in_a_thread }, []]
  end
}
missing = ->(_env) { [404, plain.dup, ["no such path\n"]] }

run ->(env) { routes.fetch(env["PATH_INFO"], missing).call(env) }
