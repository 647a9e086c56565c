# frozen_string_literal: true

require "json"
require "time"
require_relative "support/worker_test"
require_relative "../lib/serval/log"
require_relative "../lib/serval/log_relay"
require_relative "../lib/serval/blocks"

class LogTest < WorkerTest
  APP = 'run ->(env) { raise "two\nlines \e[2J \"gr\u00fcn\" \xff" }'

  def test_an_exception_is_one_line_of_json
    front = serve(APP, log_format: "json", index: 3)
    front.get("/oh", HTTP_X_REQUEST_ID: "abc")
    front.wait_for_log(/"event"/)
    line = JSON.parse(front.log.lines.fetch(0))
    assert_in_delta Time.now, Time.iso8601(line.delete("time")), 60
    details = line.delete("details")
    assert_match(/\Alines .*config\.ru:1/m, details)
    refute_match(/\e/, front.log)
    pid = line.delete("pid")
    assert_kind_of Integer, pid
    assert_equal({ "level" => "error", "event" => "exception", "message" => "RuntimeError: two (GET /oh)", "worker" => 3,
                   "error" => "RuntimeError", "method" => "GET", "path" => "/oh", "request_id" => "abc" }, line)
  end

  def test_text_is_what_it_was
    front = serve(APP)
    front.get("/oh")
    front.wait_for_log(/config.ru/)
    assert_match(/\A\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} ERROR RuntimeError: two \(GET \/oh\)\nlines/, front.log)
  end

  def test_a_line_of_the_front_without_a_configuration_is_written_as_it_is
    front = serve("run ->(env) { [200, {}, []] }")
    front.tell("l", 0, "* a line\n")
    front.wait_for_log(/^\* a line$/)
  end

  def test_lines_that_came_before_the_end_are_written
    front = serve("run ->(env) { [200, {}, []] }")
    50.times { |i| front.tell("l", 0, "* line #{i}\n") }
    front.retire
    front.status
    assert_equal (0...50).map { |i| "* line #{i}\n" }, front.log.lines
  end

  Configuration = Struct.new(:log_formatter, :custom_logger)

  def test_the_formatter_gets_a_line_without_its_end
    blocks = Serval::Blocks.new(Configuration.new(->(line) { "<#{line}>" }))
    assert_output("<* Gr\u00fcn>\n") { blocks.log("* Gr\u00fcn\n".b) }
  end

  def test_the_logger_gets_what_the_formatter_made
    logger = StringIO.new
    blocks = Serval::Blocks.new(Configuration.new(->(line) { "<#{line}>" }, logger))
    assert_silent { blocks.log("a\n") }
    assert_equal "<a>", logger.string
  end

  def test_what_fails_loses_no_line
    broken = Serval::Blocks.new(Configuration.new(->(_) { raise "no" }))
    assert_output("a\n") { broken.log("a\n") }
    full = Object.new
    def full.write(_text)
      raise Errno::ENOSPC
    end
    assert_output("b\n") { Serval::Blocks.new(Configuration.new(nil, full)).log("b\n") }
  end

  def test_the_relay_keeps_order_and_writes_all
    blocks = Serval::Blocks.new(Configuration.new(->(line) { sleep 0.001; line }))
    lines = (0...100).map { |i| "#{i}\n" }
    assert_output(lines.join) do
      relay = Serval::LogRelay.new(blocks)
      lines.each { |line| relay.take(line) }
      relay.finish
    end
  ensure
    Serval::Log.formatter = nil
  end
end
