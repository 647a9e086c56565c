# Ready-made responses of 100 KB at /, 5 MB at /5mb, 10 MB at /10mb and a few bytes at /small.
# frozen_string_literal: true

bodies = {
  "/" => "x" * 100_000,
  "/5mb" => "x" * 5_000_000,
  "/10mb" => "x" * 10_000_000,
  "/small" => "small"
}.freeze

run(lambda do |env|
  body = bodies.fetch(env["PATH_INFO"])
  [200, { "content-type" => "text/plain", "content-length" => body.bytesize.to_s }, [body]]
end)
