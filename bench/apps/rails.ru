# The Rails app of the tests. Under Unicorn it gets a Content-Length: Unicorn adds none, and wrk takes a response that ends
# with its connection, as HTTP allows, for a read error.
# frozen_string_literal: true

result = Rack::Builder.parse_file(File.expand_path("../../test/apps/rails.ru", File.dirname(__FILE__)))

use Rack::ContentLength if defined?(Unicorn)

run result.is_a?(Array) ? result.first : result # Rack 2 returns options, too
