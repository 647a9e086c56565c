# frozen_string_literal: true

Rails.application.configure do
  config.cache_classes = false # code is loaded anew when it changed
  config.eager_load = false
  config.consider_all_requests_local = true
  config.action_cable.disable_request_forgery_protection = true
end
