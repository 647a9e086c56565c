# frozen_string_literal: true

# Sends back what a client says: to itself with `say`, to all subscribers with `shout`.
class EchoChannel < ApplicationCable::Channel
  def subscribed
    stream_from "echo"
  end

  def say(data)
    transmit({ said: data["text"] })
  end

  def shout(data)
    ActionCable.server.broadcast("echo", { shouted: data["text"] })
  end
end
