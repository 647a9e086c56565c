# frozen_string_literal: true

module Api
  class NotesController < ActionController::API
    def index
      render json: Note.latest.as_json(only: %i[id text created_at])
    end

    def create
      note = Note.new(params.permit(:text))
      if note.save
        render json: note.as_json(only: %i[id text]), status: :created
      else
        render json: { errors: note.errors.full_messages }, status: :unprocessable_entity
      end
    end
  end
end
