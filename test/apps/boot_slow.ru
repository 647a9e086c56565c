# Loads slowly: sleeps BOOT_SLEEP seconds first (default 1), then says hello.
# frozen_string_literal: true

sleep(Float(ENV.fetch("BOOT_SLEEP", "1")))

run ->(_env) { [200, { "content-type" => "text/plain" }, ["Hello at last!\n"]] }
