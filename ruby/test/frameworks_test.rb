# frozen_string_literal: true

require_relative "support/worker_test"

# Real apps of the frameworks that are installed.
class FrameworksTest < WorkerTest
  RAILS = <<~'RUBY'
    require "rails"
    require "action_controller/railtie"

    class App < Rails::Application
      config.eager_load = true
      config.secret_key_base = "x" * 64
      config.logger = Logger.new(nil)
      config.action_controller.allow_forgery_protection = false
      routes.append do
        get "/" => "pages#home"
        get "/file" => "pages#file"
        get "/live" => "live#count"
        post "/form" => "pages#form"
      end
    end

    class PagesController < ActionController::Base
      def home
        cookies[:visited] = "yes"
        render html: "<p>home</p>".html_safe
      end

      def file
        send_file "config.ru"
      end

      def form
        fields = params.to_unsafe_h.slice("name", "x", "upload")
        render plain: fields.transform_values { |value| value.respond_to?(:read) ? value.read : value }.to_a.inspect
      end
    end

    class LiveController < ActionController::Base
      include ActionController::Live

      def count
        response.headers["Last-Modified"] = Time.now.httpdate # keeps Rack::ETag from collecting the body
        3.times { |i| response.stream.write("#{i}\n") }
      ensure
        response.stream.close
      end
    end

    App.initialize!
    run App
  RUBY

  SINATRA = <<~'RUBY'
    require "sinatra/base"

    class App < Sinatra::Base
      get("/") { "hello #{params["name"]}" }
      get("/stream") { stream { |out| out << "one" << "two" } }
    end
    run App
  RUBY

  def need(name)
    Gem::Specification.find_all_by_name(name).any? || skip("#{name} is not installed")
  end

  def test_rails_serves_pages_files_forms_and_streams
    need("railties")
    front = serve(RAILS, threads: 3, env: { "RAILS_ENV" => "production" })
    home = front.get("/")
    assert_equal [200, "<p>home</p>", %i[response free]], [home.status, home.body, home.names]
    assert_match(/visited=yes/, home.headers.find { |name, _| name.casecmp?("set-cookie") }[1])
    file = front.get("/file")
    assert_equal [%i[file free], RAILS], [file.names, file.body]
    assert_equal "0\n1\n2\n", front.get("/live").body
    assert_equal 404, front.get("/nowhere").status
    assert_equal 0, front.retire.exitstatus
  end

  def test_rails_reads_forms_from_frames_and_files
    need("railties")
    front = serve(RAILS, env: { "RAILS_ENV" => "production" })
    form = { method: "POST", CONTENT_TYPE: "application/x-www-form-urlencoded", CONTENT_LENGTH: "15" }
    assert_equal '[["name", "you & me"], ["x", "1"]]', front.get("/form?x=1", **form, body: "name=you+%26+me").body
    upload = "--b\r\nContent-Disposition: form-data; name=\"upload\"; filename=\"a\"\r\n\r\ncontent\r\n--b--\r\n"
    id = front.next_id
    File.open(front.write_file("body", upload)) { |body| front.tell("f", id, "", body) }
    form.update(CONTENT_TYPE: "multipart/form-data; boundary=b", CONTENT_LENGTH: upload.bytesize)
    assert_equal '[["upload", "content"]]', front.get("/form", id: id, flags: 1, **form).body
  end

  def test_sinatra_serves_pages_and_streams
    need("sinatra")
    front = serve(SINATRA, threads: 2, env: { "APP_ENV" => "production" })
    assert_equal "hello you", front.get("/?name=you").body
    assert_equal "onetwo", front.get("/stream").body
  end
end
