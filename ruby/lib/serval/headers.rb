# frozen_string_literal: true

module Serval
  # Response headers as a header block: name NUL value NUL, again and again.
  module Headers
    # "Z*" adds the NUL itself: one call of pack writes the block of a response with so many names and values.
    FORMATS = Array.new(129) { |count| ("Z*" * count).freeze }.freeze

    module_function

    # The usual headers are a Hash of Strings: flatten and pack do all of it in C. nil when something in them is not (an
    # Array of values, an Integer, a NUL that would shift names against values): those take the careful way.
    def encode(headers)
      return unless Hash === headers

      strings = headers.flatten
      block = strings.pack(FORMATS[strings.size] || "Z*" * strings.size)
      block if block.count("\0") == strings.size
    rescue TypeError
      nil
    end

    # Keys beginning with `rack.` are for the server, not for the client. A header with a NUL is left out.
    def encode_with_care(headers)
      block = String.new
      headers.each do |name, value|
        name = name.to_s.b
        value = join(value)
        next if name.start_with?("rack.") || name.include?("\0") || value.include?("\0")

        block << name << "\0" << value << "\0"
      end
      block
    end

    # Rack 3 lists several values in an Array, Rack 2 separates them by newlines: so does the wire.
    def join(value)
      value.respond_to?(:to_ary) ? value.to_ary.map { |one| one.to_s.b }.join("\n") : value.to_s.b
    end

    # The value of a header, whatever the case of its name; nil if there is none.
    def find(headers, name)
      headers.each { |key, value| return value if name.casecmp?(key.to_s) }
      nil
    end
  end
end
