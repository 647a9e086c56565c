# Reads a body of any size in pieces of 64 KiB and says how many bytes there were.
# frozen_string_literal: true

run(lambda do |env|
  size = 0
  buffer = String.new
  size += buffer.bytesize while env["rack.input"].read(65_536, buffer)
  body = size.to_s
  [200, { "content-type" => "text/plain", "content-length" => body.bytesize.to_s }, [body]]
end)
