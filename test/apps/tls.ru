# frozen_string_literal: true

require "openssl" # Puma does not, and cannot tell of certificates then

# What the app is told about a connection that speaks TLS.
run(lambda do |env|
  seen = env.values_at("rack.url_scheme", "HTTPS", "SERVER_PORT", "SERVER_NAME").map(&:inspect)
  peer = env["puma.peercert"]
  seen << "#{peer.class} #{peer.subject}" if peer
  seen << env["rack.input"].read.bytesize.to_s if env["REQUEST_METHOD"] == "POST"
  [200, { "content-type" => "text/plain" }, [seen.join(" ")]]
end)
