# frozen_string_literal: true

require "json"
require "sinatra/base"

# Counts spotted servals. The list lives in this process's memory, so with several workers each has its own.
class Spots < Sinatra::Base
  set :seen, Queue.new # a list that threads may share

  helpers do
    def seen
      settings.seen
    end
  end

  get "/" do
    erb :index
  end

  get "/spots.json" do
    content_type :json
    { count: seen.size }.to_json
  end

  post "/spots" do
    seen << Time.now
    redirect to("/")
  end

  get "/hello/:name" do |name|
    content_type :text
    "Hello, #{name}!\n"
  end

  get "/stream" do
    content_type :text
    stream do |out|
      3.times { |i| out << "part #{i}\n" }
    end
  end

  template :index do
    <<~ERB
      <!DOCTYPE html>
      <html lang="en">
      <meta charset="utf-8">
      <title>Serval and Sinatra</title>
      <h1>Servals spotted: <%= seen.size %></h1>
      <form method="post" action="<%= url("/spots") %>"><button>I saw one</button></form>
      </html>
    ERB
  end
end
