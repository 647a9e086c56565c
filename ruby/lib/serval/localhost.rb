# frozen_string_literal: true

# Prints the paths of the certificate and the key that the gem localhost makes for this user, as two lines; nothing when the
# app does not have the gem. ARGV: the Gemfile, or an empty string.
answer = $stdout.dup
$stdout.reopen($stderr) # Bundler talks
gemfile = ARGV.first.to_s
unless gemfile.empty?
  ENV["BUNDLE_GEMFILE"] = gemfile
  require "bundler"
  Bundler.setup
end

begin
  require "localhost/authority"
rescue LoadError
  exit
end

authority = Localhost::Authority.fetch
paths =
  if authority.respond_to?(:certificate_path)
    [authority.certificate_path, authority.key_path]
  else # before its version 1.1.10
    %w[crt key].map { |ending| File.expand_path("~/.localhost/localhost.#{ending}") }
  end
answer.puts paths
