# frozen_string_literal: true

require_relative "boot"

require "logger" # Rails before 7.1 forgets it
require "rails"
require "active_record/railtie"
require "action_controller/railtie"
require "action_view/railtie"
require "action_cable/engine"

module Field
  # A field book: servals seen, in a SQLite file.
  class Application < Rails::Application
    config.load_defaults Rails::VERSION::STRING.to_f

    # A real app keeps its secret out of the repository. This one guards nothing but the flash and the form's token.
    config.secret_key_base = ENV.fetch("SECRET_KEY_BASE", "not a secret, since it is an example " * 2)

    config.logger = ActiveSupport::TaggedLogging.new(Logger.new($stdout))
    config.hosts.clear # answers to any name
    config.action_cable.mount_path = "/cable"
  end
end
