# Responses in the shapes Rack 3 brought: lower-case names, arrays as values, bodies that are called with the stream.
# frozen_string_literal: true

# A body with two faces: Rack 3 says that each wins.
class Both
  def each
    yield "from each\n"
  end

  def call(stream)
    stream.write("from call\n")
    stream.close
  end
end

headers = { "content-type" => "text/plain", "set-cookie" => ["a=1", "b=2"], "x-one" => "1" }.freeze

# Rack 3 asks nothing of a streaming body but call; being a lambda is enough.
stream = ->(&block) { block }

routes = {
  "/" => ->(_env) { [200, headers.dup, ["plain\n"]] },
  "/call" => ->(_env) { [200, headers.dup, stream.call { |io| io.write("one\n"); io << "two\n"; io.flush; io.close }] },
  "/call-slowly" => lambda do |_env|
    body = lambda do |io|
      3.times do |i|
        io.write("part #{i}\n")
        sleep 0.05
      end
    ensure
      io.close
    end
    [200, headers.dup, body]
  end,
  "/call-in-a-thread" => lambda do |_env| # call may return long before the stream ends
    [200, headers.dup, stream.call { |io| Thread.new { sleep 0.05; io.write("from a thread\n"); io.close } }]
  end,
  "/call-raises" => ->(_env) { [200, headers.dup, stream.call { |io| io.write("one\n"); raise "in a streaming body" }] },
  "/echo" => lambda do |_env| # both directions at once, after a 101
    body = lambda do |io|
      while (line = io.gets)
        io.write("echo: #{line}")
      end
    ensure
      io.close
    end
    [101, { "connection" => "upgrade", "upgrade" => "echo" }, body]
  end,
  "/each" => ->(_env) { [200, headers.dup, Enumerator.new { |y| 3.times { |i| y << "part #{i}\n" } }] },
  "/both" => ->(_env) { [200, headers.dup, Both.new] },
  "/frozen" => ->(_env) { [200, headers, ["frozen\n"].freeze].freeze }
}
missing = ->(_env) { [404, { "content-type" => "text/plain" }, ["no such path\n"]] }

run ->(env) { routes.fetch(env["PATH_INFO"], missing).call(env) }
