# frozen_string_literal: true

module Serval
  # The worker's lines in the log. Each goes to standard error in one write, so that two threads don't mix theirs.
  module Log
    module_function

    def error(text)
      write("ERROR", text)
    end

    def warn(text)
      write("WARN", text)
    end

    def write(level, text)
      $stderr.write("#{Time.now.strftime("%Y-%m-%d %H:%M:%S.%L")} #{level} #{text}\n")
    rescue IOError, SystemCallError
      nil # nowhere is left to say it
    end
  end
end
