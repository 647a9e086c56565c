# What an app can do wrong: raising and leaving at every point, answers that are none, and headers that would split one.
# frozen_string_literal: true

plain = { "content-type" => "text/plain" }.freeze
answer = ->(headers = {}, body = ["fine\n"]) { [200, plain.merge(headers), body] }
parts = ->(&block) { Enumerator.new(&block) }

# A body that yields one part; its close raises.
class Unclosable
  def each
    yield "all of it\n"
  end

  def close
    raise "in close"
  end
end

deep = ->(n) { deep.call(n + 1) + 1 }

routes = {
  "/" => ->(_) { answer.call },

  # before the response
  "/raise" => ->(_) { raise "before the response" },
  "/raise-html" => ->(_) { raise "<script>alert(1)</script>" },
  "/raise-cause" => lambda do |_|
    raise KeyError, "the cause"
  rescue KeyError
    raise "with a cause"
  end,
  "/raise-exception" => ->(_) { raise Exception, "not a StandardError" }, # rubocop:disable Lint/RaiseException
  "/throw" => ->(_) { throw :nowhere },
  "/exit" => ->(_) { exit(3) },
  "/abort" => ->(_) { abort("leaving") },
  "/interrupt" => ->(_) { raise Interrupt, "as if Ctrl-C" },
  "/no-memory" => ->(_) { raise NoMemoryError, "failed to allocate memory" },
  "/too-deep" => ->(_) { deep.call(0) },
  "/kill-thread" => ->(_) { Thread.current.kill },

  # in the response
  "/raise-first" => ->(_) { answer.call({}, parts.call { |_y| raise "before the first part" }) },
  "/raise-later" => ->(_) { answer.call({}, parts.call { |y| y << "one\n" << "two\n"; raise "after two parts" }) },
  "/raise-later-length" => lambda do |_|
    answer.call({ "content-length" => "100" }, parts.call { |y| y << "one\n"; raise "short of the length" })
  end,
  "/raise-late" => lambda do |q| # after 400 KB; length=1 announces 1 MB
    headers = q.key?("length") ? { "content-length" => "1000000" } : {}
    answer.call(headers, parts.call { |y| 4.times { y << "x" * 100_000 }; raise "after 400 KB" })
  end,
  "/raise-close" => ->(_) { answer.call({}, Unclosable.new) },
  "/exit-later" => ->(_) { answer.call({}, parts.call { |y| y << "one\n"; exit(3) }) },

  # not a response
  "/nil" => ->(_) { nil },
  "/string" => ->(_) { "not a triple" },
  "/pair" => ->(_) { [200, plain.dup] },
  "/quad" => ->(_) { [200, plain.dup, ["four\n"], nil] },
  "/status-text" => ->(_) { ["fine", plain.dup, ["a word as status\n"]] },
  "/status-string" => ->(_) { ["201", plain.dup, ["digits as status\n"]] },
  "/status-nil" => ->(_) { [nil, plain.dup, ["no status\n"]] },
  "/status-0" => ->(_) { [0, plain.dup, ["status 0\n"]] },
  "/status-99" => ->(_) { [99, plain.dup, ["status 99\n"]] },
  "/status-1000" => ->(_) { [1000, plain.dup, ["status 1000\n"]] },
  "/status-negative" => ->(_) { [-200, plain.dup, ["status -200\n"]] },
  "/status-unknown" => ->(_) { [599, plain.dup, ["status 599\n"]] },
  "/headers-nil" => ->(_) { [200, nil, ["no headers\n"]] },
  "/headers-string" => ->(_) { [200, "x-a: b", ["a string\n"]] },
  "/headers-pairs" => ->(_) { [200, [%w[x-pair yes]], ["pairs\n"]] },
  "/body-nil" => ->(_) { [200, plain.dup, nil] },
  "/body-string" => ->(_) { [200, plain.dup, "a string\n"] },
  "/body-integer" => ->(_) { [200, plain.dup, 7] },
  "/body-numbers" => ->(_) { [200, plain.dup, [1, 2, 3]] },
  "/body-nils" => ->(_) { [200, plain.dup, [nil, "after nil\n"]] },

  # headers that would end one header and begin another, or end the head
  "/crlf-value" => ->(_) { answer.call("x-a" => "b\r\nset-cookie: stolen=1") },
  "/crlf-body" => ->(_) { answer.call("x-a" => "b\r\n\r\n<p>stolen</p>") },
  "/cr-value" => ->(_) { answer.call("x-a" => "b\rset-cookie: stolen=1") },
  "/lf-value" => ->(_) { answer.call("x-a" => "b\nset-cookie: stolen=1") },
  "/nul-value" => ->(_) { answer.call("x-a" => "b\0c") },
  "/control-value" => ->(_) { answer.call("x-a" => "b\x01c") },
  "/crlf-name" => ->(_) { answer.call("x-a\r\nset-cookie" => "stolen=1") },
  "/colon-name" => ->(_) { answer.call("set-cookie: stolen=1; x" => "b") },
  "/space-name" => ->(_) { answer.call("x a" => "b") },
  "/nul-name" => ->(_) { answer.call("x\0a" => "b") },
  "/empty-name" => ->(_) { answer.call("" => "b") },
  "/symbol-name" => ->(_) { answer.call(x_symbol: "b") },
  "/nil-name" => ->(_) { answer.call(nil => "b") },
  "/object-value" => ->(_) { answer.call("x-object" => Object) },
  "/utf8-value" => ->(_) { answer.call("x-utf8" => "füßchen") },
  "/binary-value" => ->(_) { answer.call("x-binary" => "\xFF\xFE".b) },
  "/long-value" => ->(_) { answer.call("x-long" => "v" * 100_000) },
  "/many-headers" => ->(_) { answer.call((1..2000).to_h { |i| ["x-#{i}", i.to_s] }) },
  "/length-text" => ->(_) { answer.call("content-length" => "five") },
  "/length-negative" => ->(_) { answer.call("content-length" => "-5") },
  "/length-and-chunked" => ->(_) { answer.call({ "content-length" => "5", "transfer-encoding" => "chunked" }, ["0\r\n\r\n"]) }
}
missing = ->(_) { [404, plain.dup, ["no such path\n"]] }

run ->(env) { routes.fetch(env["PATH_INFO"], missing).call(Rack::Utils.parse_query(env["QUERY_STRING"])) }
