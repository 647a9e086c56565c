# frozen_string_literal: true

class Note < ActiveRecord::Base
  validates :text, presence: true, length: { maximum: 200 }

  scope :latest, -> { order(id: :desc).limit(20) }
end
