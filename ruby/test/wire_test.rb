# frozen_string_literal: true

require_relative "support/worker_test"
require_relative "../lib/serval/wire"
require_relative "../lib/serval/headers"

class WireTest < WorkerTest
  Wire = Serval::Wire
  NAMES = { "END" => :FINISH }.freeze # not every name of the document is free in Ruby

  # The frames of a golden file, as hashes with the bytes under "hex".
  def self.golden(name)
    File.read(File.join(__dir__, "golden", name)).split("\n\n").map do |block|
      lines = block.lines(chomp: true).reject { |line| line.start_with?("#") }
      lines.each_with_object({ "hex" => "".b }) { |line, fields| read(fields, *line.split(": ", 2)) }
    end
  end

  def self.read(fields, key, value)
    case key
    when "hex" then fields["hex"] << [value.delete(" ")].pack("H*")
    when "head", "body" then fields[key] = value.undump.b
    when "type" then fields["type"], fields["name"] = value.split
    else fields[key] = Integer(value)
    end
  end

  FRAMES = (golden("front.txt") + golden("worker.txt")).freeze

  def test_golden_frames_are_encoded_to_the_byte
    FRAMES.each do |golden|
      type = Wire.const_get(NAMES.fetch(golden["name"], golden["name"]))
      assert_equal golden["type"].to_i, type
      fields = %w[code flags head body].to_h { |key| [key.to_sym, golden[key]] }
      frame = Wire.frame(type, golden["id"], **fields)
      assert_equal golden["hex"], frame
      assert_equal Encoding::BINARY, frame.encoding
    end
  end

  def test_golden_frames_are_decoded
    FRAMES.each do |golden|
      length, type, flags, code, id, size = golden["hex"].unpack(Wire::PREFIX)
      assert_equal golden["hex"].bytesize, length + 4
      assert_equal golden.values_at("type", "flags", "code", "id"), [type.to_s, flags, code, id]
      assert_equal golden["head"] + golden["body"], golden["hex"].byteslice(Wire::PREFIX_SIZE..-1)
      assert_equal golden["head"].bytesize, size
    end
  end

  def test_there_is_a_golden_frame_of_every_type
    assert_equal Frame::NAMES.keys, FRAMES.map { |golden| golden["type"].to_i }.uniq.sort
  end

  # What the golden worker says, a real one says: the same requests get the same bytes.
  def test_a_worker_reads_and_writes_golden_frames
    front = serve(<<~'RUBY')
      run(lambda do |env|
        case env["PATH_INFO"]
        when "/hello" then [200, { "content-type" => "text/plain" }, ["Hello\n"]]
        when "/" then [200, {}, [env["rack.input"].read.inspect]]
        else [200, {}, [env.values_at("REQUEST_METHOD", "PATH_INFO", "CONTENT_LENGTH").join(" ")]]
        end
      end)
    RUBY
    asked = FRAMES.select { |golden| %w[DEFINE REQUEST].include?(golden["name"]) && golden["flags"].zero? }
    front.send_bytes(asked.map { |golden| golden["hex"] }.join)
    hello, body, upload = Array.new(3) { front.frame }.sort_by(&:id) # an outbox may be looked into before the socket
    golden = FRAMES.find { |frame| frame["name"] == "RESPONSE" }
    assert_equal golden["hex"], Frame.bytes(:response, hello.id, code: hello.code, head: hello.head, body: hello.body)
    assert_equal '"name=J\xC3\xBCrgen\x00\xFF"', body.body
    assert_equal ["POST /upload 5", 0xffffffff], [upload.body, upload.id]
  end

  def test_header_blocks_are_the_same_on_both_ways
    headers = { "content-type" => "text/plain", "x-empty" => "" }
    assert_equal "content-type\0text/plain\0x-empty\0\0".b, Serval::Headers.encode(headers)
    assert_equal Serval::Headers.encode(headers), Serval::Headers.encode_with_care(headers)
  end

  def test_hundreds_of_random_headers_are_the_same_on_both_ways
    random = Random.new(3)
    300.times do
      headers = Array.new(random.rand(0..200)) { |i| ["x-#{i}", random.bytes(random.rand(0..40)).delete("\0")] }.to_h
      assert_equal Serval::Headers.encode_with_care(headers), Serval::Headers.encode(headers)
    end
  end
end
