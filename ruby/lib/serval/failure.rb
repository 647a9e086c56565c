# frozen_string_literal: true

module Serval
  # An exception put into words for people.
  module Failure
    RUNTIME = "#{__dir__}/"
    LONGEST_BACKTRACE = 200 # lines

    module_function

    # "RuntimeError: no such thing"
    def headline(error)
      message = message_of(error)
      return error.class.to_s if message.empty? || message == error.class.to_s

      "#{error.class}: #{message}"
    end

    # The headline, the backtrace and the chain of causes, a line each.
    def describe(error)
      lines = [headline(error), *backtrace(error).map { |line| "    #{line}" }]
      lines << "  caused by #{describe(error.cause)}" if error.cause && !error.cause.equal?(error)
      lines.join("\n")
    end

    # Backtrace without the runtime's own frames at its outer end: they are the same every time.
    def backtrace(error)
      frames = error.backtrace || []
      frames = frames.take(frames.size - frames.reverse.take_while { |frame| frame.start_with?(RUNTIME) }.size)
      shorten(frames).map { |frame| utf8(frame) }
    end

    # A stack that overflowed has ten thousand frames, and nothing new in most of them.
    def shorten(frames)
      return frames if frames.size <= LONGEST_BACKTRACE

      half = LONGEST_BACKTRACE / 2
      [*frames.first(half), "... #{frames.size - 2 * half} more ...", *frames.last(half)]
    end

    # Paths, messages and sources may be in any encoding, and two of them in one string an error: UTF-8 it is.
    def utf8(text)
      text.dup.force_encoding(Encoding::UTF_8).scrub
    end

    # A message in UTF-8 whatever the app put into it, without the colours that some terminals would get.
    def message_of(error)
      text = error.respond_to?(:detailed_message) ? detailed(error) : error.message
      utf8(text.to_s)
    rescue StandardError => e
      "(its message could not be read: #{e.class})"
    end

    # Ruby 3.4 moved the hints of did_you_mean out of the message, and puts the class in: taken out again here.
    def detailed(error)
      error.detailed_message(highlight: false).sub(" (#{error.class})", "")
    end
  end
end
