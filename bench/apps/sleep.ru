# Sleeps 5 ms, as an app does that asks a database.
# frozen_string_literal: true

run(lambda do |_env|
  sleep 0.005
  [200, { "content-type" => "text/plain", "content-length" => "5" }, ["slept"]]
end)
