# frozen_string_literal: true

module Serval
  # rack.input of a request without a body, shared by all of them: it has nothing to remember.
  class NullInput
    def gets(*)
      nil
    end

    def each
      self
    end

    # As IO#read at the end of a file: nil where bytes were asked for, an empty string where all were.
    def read(length = nil, buffer = nil)
      buffer&.clear
      return if length&.positive?

      buffer || String.new
    end

    def readpartial(_length, _buffer = nil)
      raise EOFError, "end of file reached"
    end
    alias sysread readpartial
    alias read_nonblock readpartial

    def rewind
      0
    end
    alias pos rewind
    alias tell rewind
    alias size rewind
    alias length rewind

    def seek(*)
      0
    end

    def eof?
      true
    end
    alias eof eof?

    def close; end

    def closed?
      false
    end

    def sync
      true
    end

    def sync=(value); end

    def binmode
      self
    end

    def set_encoding(*)
      self
    end

    def external_encoding
      Encoding::BINARY
    end
  end
end
