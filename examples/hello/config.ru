# frozen_string_literal: true

require "rack"
require "time"

PAGE = <<~HTML
  <!DOCTYPE html>
  <html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width">
    <title>Serval is serving</title>
    <style>
      body { max-width: 34em; margin: 4em auto; padding: 0 1em; font: 1.1em/1.5 system-ui, sans-serif; color: #2b2118; background: #fbf6ec }
      h1 { border-bottom: 6px dotted #c98a2b; padding-bottom: .3em }
      a { color: #9a5b00 }
      li { margin: .4em 0 }
    </style>
  </head>
  <body>
    <h1>Serval is serving</h1>
    <p>This page is a Rack app, <code>config.ru</code>, of about eighty lines. It can do more:</p>
    <ul>
      <li><a href="/time">/time</a> tells the time,</li>
      <li><a href="/env">/env</a> shows what the app is told about your request,</li>
      <li><a href="/stream">/stream</a> counts to ten, a line at a time,</li>
      <li><a href="/upload">/upload</a> takes a file and says how large it was.</li>
    </ul>
  </body>
  </html>
HTML

FORM = <<~HTML
  <!DOCTYPE html>
  <title>Upload</title>
  <form method="post" enctype="multipart/form-data">
    <p><input type="file" name="file"> <button>Upload</button>
  </form>
HTML

# Only what the client sent or the server knows of the request; no cookies, no credentials, none of the machine's secrets.
SHOWN = %w[REQUEST_METHOD PATH_INFO QUERY_STRING SERVER_PROTOCOL SERVER_NAME SERVER_PORT SERVER_SOFTWARE REMOTE_ADDR
           HTTP_HOST HTTP_USER_AGENT HTTP_ACCEPT HTTP_ACCEPT_ENCODING HTTP_ACCEPT_LANGUAGE HTTP_CONNECTION
           rack.url_scheme rack.multithread rack.multiprocess].freeze

html = ->(body, status = 200) { [status, { "content-type" => "text/html; charset=utf-8" }, [body]] }
text = ->(body, status = 200) { [status, { "content-type" => "text/plain; charset=utf-8" }, body] }

count = lambda do
  Enumerator.new do |lines|
    1.upto(10) do |number|
      sleep 0.2 unless number == 1
      lines << "#{number}\n"
    end
  end
end

# Without a form (curl -T file), the body itself is the upload.
size = lambda do |env|
  request = Rack::Request.new(env)
  next request.params.values.sum { |value| value.is_a?(Hash) ? value[:tempfile].size : value.bytesize } if request.form_data?

  total = 0
  while (part = request.body.read(64 * 1024))
    total += part.bytesize
  end
  total
end

run(lambda do |env|
  case [env["REQUEST_METHOD"], env["PATH_INFO"]]
  when %w[GET /], %w[HEAD /] then html.call(PAGE)
  when %w[GET /time] then text.call(["#{Time.now.iso8601}\n"])
  when %w[GET /env] then text.call(SHOWN.map { |key| "#{key}: #{env[key]}\n" })
  when %w[GET /stream] then text.call(count.call)
  when %w[GET /upload] then html.call(FORM)
  when %w[POST /upload], %w[PUT /upload] then text.call(["#{size.call(env)} bytes\n"])
  else text.call(["There is nothing here.\n"], 404)
  end
end)
