# Thirteen bytes for every request: what is measured is the server.
# frozen_string_literal: true

headers = { "content-type" => "text/plain", "content-length" => "13" }.freeze

run ->(_env) { [200, headers, ["Hello, world!"]] }
