# A Sinatra app in one file: routes, a parameter, a form, a session cookie, a redirect, a stream.
# frozen_string_literal: true

require "sinatra/base"

class SinatraApp < Sinatra::Base
  enable :sessions
  set :session_secret, "not secret: it guards a counter in a test" * 2
  set :logging, false

  get("/") { "Hello from Sinatra\n" }
  get("/hello/:name") { |name| "Hello, #{name}\n" }
  post("/upper") { "#{params['text'].upcase}\n" }
  get("/count") { "#{session[:count] = session.fetch(:count, 0) + 1}\n" }
  get("/away") { redirect to("/") }
  get("/stream") { stream { |out| 3.times { |i| out << "part #{i}\n" } } }
end

run SinatraApp
