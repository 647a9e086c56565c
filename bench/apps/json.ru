# Reads and parses a JSON body, and answers with a few figures about it.
# frozen_string_literal: true

require "json"

run(lambda do |env|
  text = env["rack.input"].read
  order = text.empty? ? {} : JSON.parse(text)
  items = order.fetch("items", [])
  answer = JSON.generate("bytes" => text.bytesize, "items" => items.size, "total" => items.sum { |item| item["price"] * item["count"] })
  [200, { "content-type" => "application/json", "content-length" => answer.bytesize.to_s }, [answer]]
end)
