# 103 Early Hints, where the server offers rack.early_hints: one at /, two at /twice, odd ones at /empty and /split.
# frozen_string_literal: true

style = "</style.css>; rel=preload; as=style"
script = "</app.js>; rel=preload; as=script"

hints = {
  "/" => [{ "link" => "#{style}\n#{script}" }],
  "/list" => [{ "link" => [style, script] }],
  "/twice" => [{ "link" => style }, { "link" => script }],
  "/empty" => [{}],
  "/split" => [{ "link" => "#{style}\r\nset-cookie: stolen=1" }]
}

run(lambda do |env|
  give = env["rack.early_hints"]
  hints.fetch(env["PATH_INFO"], []).each { |headers| give&.call(headers) }
  [200, { "content-type" => "text/plain" }, [give ? "with hints\n" : "without hints\n"]]
end)
