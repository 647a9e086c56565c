# frozen_string_literal: true

require_relative "frame"

# The front's side of an outbox, by reading and writing the file that both share (docs/reference/outbox.md).
class Outbox
  SIZE = 1 << 20
  AT = 4096
  STEP = 16
  PUT = 0
  TAKEN = 64
  FRONT = 128
  AWAKE = 1
  ASLEEP = 2

  def initialize(file)
    @file = file
    doze
  end

  # Says that the front sleeps; whether it may, since there is nothing to take.
  def doze
    set(FRONT, ASLEEP)
    number(PUT) == number(TAKEN)
  end

  def wake
    set(FRONT, AWAKE)
  end

  # The next frame, nil if there is none.
  def take
    put, taken = number(PUT), number(TAKEN)
    return if put == taken

    at = taken % SIZE
    if @file.pread(4, AT + at) == "\0\0\0\0"
      taken += SIZE - at
      at = 0
    end
    length = 4 + @file.pread(4, AT + at).unpack1("N")
    frame = Frame.take(@file.pread(length, AT + at))
    set(TAKEN, (taken + length + STEP - 1) / STEP * STEP % (1 << 32))
    frame
  end

  # Memory that was ever touched, in blocks of 512 bytes.
  def blocks
    @file.stat.blocks
  end

  private

  def number(at)
    @file.pread(4, at).unpack1("L")
  end

  def set(at, number)
    @file.pwrite([number].pack("L"), at)
  end
end
