# frozen_string_literal: true

require_relative "failure"

module Serval
  # The worker's lines in the log, as text or as an object a line. Each goes to standard error in one write, so that two
  # threads don't mix theirs.
  module Log
    # JSON by hand: to require the gem would settle its version before the bundle can.
    module JSONLine
      ESCAPES = { "\"" => "\\\"", "\\" => "\\\\", "\n" => "\\n", "\t" => "\\t" }.freeze

      module_function

      def object(pairs)
        "{#{pairs.map { |key, value| "#{string(key)}:#{value.is_a?(Integer) ? value : string(value)}" }.join(",")}}"
      end

      # Controls that JSON would allow drive the terminal of who reads the log.
      def string(text)
        plain = Failure.utf8(text.to_s).gsub(/["\\\u0000-\u001f\u007f-\u009f]/) do |c|
          ESCAPES.fetch(c) { format("\\u%04x", c.ord) }
        end
        "\"#{plain}\""
      end
    end

    @formatter = nil
    @json = false
    @common = {}

    class << self
      # The app's log_formatter, called with each line of text; nil for none.
      attr_writer :formatter

      def set_up(settings)
        @json = settings.json_log?
        @common = settings.mold? ? {} : { "worker" => settings.index }
      end

      # fields: what a tool should not have to read out of the text.
      def error(text, fields = {})
        write("ERROR", text, fields)
      end

      def warn(text, fields = {})
        write("WARN", text, fields)
      end

      def write(level, text, fields = {})
        now = Time.now
        line = @json ? json(now, level, text, fields) : "#{now.strftime("%Y-%m-%d %H:%M:%S.%L")} #{level} #{text}"
        $stderr.write("#{formatted(line)}\n")
      rescue IOError, SystemCallError
        nil # nowhere is left to say it
      end

      # Calls the app's log_formatter. What it fails on is written as it is: no line gets lost.
      def formatted(line)
        @formatter ? @formatter.call(line).to_s.chomp : line
      rescue StandardError
        line
      end

      private

      def json(now, level, text, fields)
        message, details = Failure.utf8(text).split("\n", 2)
        pairs = { "time" => now.strftime("%Y-%m-%dT%H:%M:%S.%L#{now.utc_offset.zero? ? "Z" : "%:z"}"),
                  "level" => level.downcase, "pid" => Process.pid, "event" => "ruby", "message" => message.to_s }
        pairs["details"] = details if details
        JSONLine.object(pairs.merge(@common, fields))
      end
    end
  end
end
