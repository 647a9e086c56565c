# What the log tells of: /id, /own-id, /raise, /gate?file=, /die, /stream, /big?kb=
# frozen_string_literal: true

text = ->(body, headers = {}) { [200, { "content-type" => "text/plain" }.merge(headers), [body]] }

run lambda { |env|
  File.write(env["HTTP_X_ENTERED"], "") if env["HTTP_X_ENTERED"]
  query = Rack::Utils.parse_query(env["QUERY_STRING"])
  case env["PATH_INFO"]
  when "/id" then text.call(env["HTTP_X_REQUEST_ID"].inspect)
  when "/own-id" then text.call("", "x-request-id" => "from-the-app")
  when "/raise" then raise "\"oh\"\nand more"
  when "/gate"
    sleep 0.005 until File.exist?(query["file"])
    text.call("open")
  when "/die" then Process.kill(:KILL, Process.pid) && sleep
  when "/stream" then [200, {}, Enumerator.new { |y| loop { y << "x" * 1000 } }]
  when "/hijack"
    io = env["rack.hijack"].call
    io.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    io.close
    [-1, {}, []]
  else text.call("x" * query.fetch("kb", 0).to_i * 1024)
  end
}
