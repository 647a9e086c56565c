# frozen_string_literal: true

module Api
  # Says which process and thread answered.
  class StatusController < ActionController::API
    def show
      render json: { rails: Rails.version, ruby: RUBY_VERSION, env: Rails.env, server: request.server_software,
                     pid: Process.pid, notes: Note.count }
    end
  end
end
