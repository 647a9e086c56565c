# The Rails app of the tests. Under Unicorn it gets a Content-Length: Unicorn adds none, and wrk takes a response that ends
# with its connection, as HTTP allows, for a read error.
# frozen_string_literal: true

# Agoo does not say which file it evaluates, but runs at the top of the repository.
here = File.file?(__FILE__) ? File.dirname(__FILE__) : "bench/apps"
result = Rack::Builder.parse_file(File.expand_path("../../test/apps/rails.ru", here))

use Rack::ContentLength if defined?(Unicorn)

run result.is_a?(Array) ? result.first : result # Rack 2 returns options, too
