# Action Cable without the rest of Rails: WebSockets at /cable, where EchoChannel sends back what it is told.
# frozen_string_literal: true

require "logger"
require "action_cable"

module Cable
  class Connection < ActionCable::Connection::Base
  end

  # What a client says goes back to it alone by `say`, and to all subscribers of this worker by `shout`.
  class EchoChannel < ActionCable::Channel::Base
    def subscribed
      stream_from "echo"
    end

    def say(data)
      transmit({ "said" => data["text"] })
    end

    def shout(data)
      ActionCable.server.broadcast("echo", { "shouted" => data["text"] })
    end
  end
end

ActionCable.server.config.tap do |config|
  config.cable = { "adapter" => "async" }
  config.connection_class = -> { Cable::Connection }
  config.disable_request_forgery_protection = true # tests come from anywhere and send no Origin
  config.logger = Logger.new($stderr, level: :warn)
end

map("/cable") { run ActionCable.server }

run ->(_env) { [200, { "content-type" => "text/plain" }, ["WebSockets are at /cable\n"]] }
