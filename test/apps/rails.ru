# A Rails API app in one file, with all of Rails' default middleware for an API: one JSON action.
# frozen_string_literal: true

require "logger"
require "rails"
require "action_controller/railtie"

class HelloController < ActionController::API
  def show
    render json: { hello: params.fetch(:name, "world"), colours: %w[tan black gold], spots: 99, ears: { large: true } }
  end
end

class RailsApp < Rails::Application
  config.load_defaults Rails::VERSION::STRING.to_f
  config.api_only = true
  config.eager_load = true
  config.cache_classes = true # as in production: without it, Rails looks at the files it watches in each request
  config.secret_key_base = "not secret: this app keeps nothing" * 2
  config.logger = Logger.new($stderr)
  config.log_level = :warn
  config.hosts.clear # it listens on loopback under many names

  routes.append do
    root to: "hello#show"
    get "/hello/:name", to: "hello#show"
  end
end

RailsApp.initialize!

run RailsApp
