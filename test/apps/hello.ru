# The smallest app: one short text for every request, and no header but its type.
# frozen_string_literal: true

run ->(_env) { [200, { "content-type" => "text/plain" }, ["Hello, world!\n"]] }
