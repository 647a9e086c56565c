# frozen_string_literal: true

require_relative "failure"

module Serval
  # The response to a request whose app raised.
  class ErrorPage
    ESCAPES = { "&" => "&amp;", "<" => "&lt;", ">" => "&gt;", '"' => "&quot;", "'" => "&#39;" }.freeze

    # details: whether the client may see the exception. handler: the configuration's lowlevel_error_handler, which is
    # given as many of error, env and status as it takes, and gives the response.
    def initialize(details:, handler: nil)
      @details = details
      @handler = handler
    end

    def call(error, env)
      return page_for(error, env) unless @handler

      arity = @handler.respond_to?(:arity) ? @handler.arity : @handler.method(:call).arity
      @handler.call(*[error, env, 500].first(arity.negative? ? 3 : arity))
    end

    # Serval's own page, for when the handler fails as well.
    def page_for(error, env)
      html = env["HTTP_ACCEPT"].to_s.include?("text/html")
      text = html ? html_page(error, env) : plain(error, env)
      [500, { "content-type" => "text/#{html ? "html" : "plain"}; charset=utf-8" }, [text]]
    end

    private

    def plain(error, env)
      return "Internal Server Error\n" unless @details

      "#{Failure.headline(error)}\n#{request_line(env)}\n\n#{Failure.backtrace(error).join("\n")}\n"
    end

    def html_page(error, env)
      page("Internal Server Error", @details ? details(error, env) : "<p>Something went wrong on our side.</p>")
    end

    def details(error, env)
      <<~HTML
        <h2>#{escape(Failure.headline(error))}</h2>
        <p><code>#{escape(request_line(env))}</code></p>
        <pre>#{escape(Failure.backtrace(error).join("\n"))}</pre>
      HTML
    end

    def page(title, content)
      <<~HTML
        <!DOCTYPE html>
        <html lang="en">
        <head><meta charset="utf-8"><title>#{title}</title>
        <style>body { font-family: sans-serif; margin: 3em; } pre { line-height: 1.5; overflow-x: auto; }</style></head>
        <body>
        <h1>#{title}</h1>
        #{content}</body>
        </html>
      HTML
    end

    def request_line(env)
      "#{env["REQUEST_METHOD"]} #{Failure.utf8((env["REQUEST_URI"] || env["PATH_INFO"]).to_s)}"
    end

    def escape(text)
      text.gsub(/[&<>"']/, ESCAPES)
    end
  end
end
