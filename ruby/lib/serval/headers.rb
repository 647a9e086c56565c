# frozen_string_literal: true

module Serval
  # Response headers as a header block: name NUL value NUL, again and again.
  module Headers
    # "Z*" takes the bytes of a string, whatever its encoding, and adds the NUL: one call of pack writes a whole block.
    FORMATS = Array.new(65) { |count| ("Z*" * count).freeze }.freeze

    # Bytes of a block. The front ends a worker that sends a frame past its limit; no sane response comes near.
    LONGEST = 1024 * 1024

    module_function

    # The usual headers are a Hash of Strings: flatten and pack do all of it in C. nil when something in them is not
    # (an Array of values, an Integer, a NUL that would shift names against values): those take the careful way.
    def encode(headers)
      pack(headers.flatten) if Hash === headers
    rescue TypeError
      nil
    end

    # Any headers that `each` lists in pairs. Names beginning with `rack.` are for the server, not for the client; a
    # header with a NUL in it is left out.
    def encode_with_care(headers)
      strings = []
      headers.each do |name, value|
        name = name.to_s.b
        strings << name << (String === value ? value : text(value)) unless name.start_with?("rack.")
      end
      pack(strings) || pack(without_nuls(strings))
    end

    # The value of a header, whatever the case of its name; nil if there is none.
    def find(headers, name)
      headers.each { |key, value| return value if name.casecmp?(key.to_s) }
      nil
    end

    # nil if a NUL is among the strings.
    def pack(strings)
      block = strings.pack(FORMATS[strings.size] || "Z*" * strings.size)
      raise ArgumentError, "the app's headers are longer than #{LONGEST} bytes" if block.bytesize > LONGEST

      block if block.count("\0") == strings.size
    end

    def without_nuls(strings)
      strings.each_slice(2).reject { |pair| pair.any? { |string| string.b.include?("\0") } }.flatten
    end

    # Rack 3 lists several values in an Array, Rack 2 separates them by newlines: so does the wire.
    def text(value)
      value.respond_to?(:to_ary) ? value.to_ary.map { |one| one.to_s.b }.join("\n") : value.to_s
    end
  end
end
