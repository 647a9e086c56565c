# frozen_string_literal: true

Rails.application.routes.draw do
  root "notes#index"
  resources :notes, only: %i[index create destroy]

  namespace :api do
    resources :notes, only: %i[index create]
    get "status", to: "status#show"
  end
end
