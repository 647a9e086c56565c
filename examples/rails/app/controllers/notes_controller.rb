# frozen_string_literal: true

class NotesController < ApplicationController
  def index
    @notes = Note.latest
    @note = Note.new
  end

  def create
    note = Note.create(params.require(:note).permit(:text))
    redirect_to root_path, notice: note.errors.full_messages.first || "Noted."
  end

  def destroy
    Note.find(params[:id]).destroy!
    redirect_to root_path, notice: "Forgotten."
  end
end
