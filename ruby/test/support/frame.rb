# frozen_string_literal: true

# One frame as the tests see it, taken apart without the worker's own code.
Frame = Struct.new(:type, :flags, :code, :id, :head, :body, :io) do
  # A header block as pairs.
  def pairs
    head.split("\0", -1)[0...-1].each_slice(2).to_a
  end

  def headers
    pairs.to_h
  end

  # The flags but EAGER, which goes by the times that the requests before took, not by what this one is.
  def flags
    self[:flags] & ~Frame::EAGER
  end

  def eager?
    self[:flags].anybits?(Frame::EAGER)
  end

  def name
    Frame::NAMES.fetch(type)
  end
end

Frame::NAMES = {
  1 => :define, 2 => :request, 10 => :response, 11 => :head, 12 => :chunk, 13 => :end, 14 => :file, 15 => :stream,
  16 => :hints, 17 => :hijack, 18 => :free, 19 => :outbox, 20 => :bell
}.freeze

class Frame
  BUSY = 1
  HIJACK_FLAG = 2
  ABORT = 4
  EAGER = 8

  def self.bytes(type, id, code: 0, flags: 0, head: "", body: "")
    length = 12 + head.bytesize + body.bytesize
    [length, NAMES.key(type), flags, code, id, head.bytesize].pack("NCCnNN") + head.b + body.b
  end

  # Takes the first frame off +buffer+, nil if it is not all there.
  def self.take(buffer)
    return if buffer.bytesize < 16

    length, type, flags, code, id, size = buffer.unpack("NCCnNN")
    return if buffer.bytesize < 4 + length

    bytes = buffer.slice!(0, 4 + length)
    new(type, flags, code, id, bytes.byteslice(16, size), bytes.byteslice(16 + size..-1))
  end
end
