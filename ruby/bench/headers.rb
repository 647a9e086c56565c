# frozen_string_literal: true

# How a header block is best written: ruby ruby/bench/headers.rb
require_relative "measure"
require_relative "../lib/serval/headers"
require_relative "../lib/serval/wire"

def each_and_append(headers)
  block = String.new
  headers.each { |name, value| block << name << "\0" << value << "\0" }
  block
end

SMALL = { "content-type" => "text/plain" }.freeze
LARGE = {
  "x-frame-options" => "SAMEORIGIN", "x-xss-protection" => "0", "x-content-type-options" => "nosniff",
  "x-permitted-cross-domain-policies" => "none", "referrer-policy" => "strict-origin-when-cross-origin",
  "content-type" => "text/html; charset=utf-8", "vary" => "Accept", "etag" => 'W/"0123456789abcdef0123456789abcdef"',
  "cache-control" => "max-age=0, private, must-revalidate", "x-request-id" => "01234567-89ab-cdef-0123-456789abcdef"
}.freeze

{ "one header" => SMALL, "the headers of a Rails page" => LARGE }.each do |title, headers|
  Measure.compare(title,
                  "flatten, pack, count NULs" => ->(n) { n.times { Serval::Headers.encode(headers) } },
                  "each and append, no check for NUL" => ->(n) { n.times { each_and_append(headers) } },
                  "with care" => ->(n) { n.times { Serval::Headers.encode_with_care(headers) } })
end

block = Serval::Headers.encode(LARGE)
body = "Hello\n"
Measure.compare("the frame around it",
                "one pack" => ->(n) { n.times { Serval::Wire.frame(10, 1, code: 200, head: block, body: body) } },
                "pack and append" => lambda do |n|
                  n.times do
                    size = block.bytesize
                    [12 + size + body.bytesize, 10, 0, 200, 1, size].pack("NCCnNN") << block << body
                  end
                end)
