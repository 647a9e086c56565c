# All apps that fit under a path, together: /bodies/..., /slow/... and so on, for tests that mix everything.
# frozen_string_literal: true

%w[bodies echo errors hijack hints hooks rack3 slow].each do |name|
  app = Rack::Builder.parse_file(File.join(__dir__, "#{name}.ru"))
  app = app.first unless app.respond_to?(:call) # Rack 2 returns the app and its options
  map("/#{name}") { run app }
end
