# frozen_string_literal: true

module Serval
  # Frames as docs/reference/wire.md describes them: 16 bytes of numbers, a head, a body.
  module Wire
    PREFIX = "NCCnNN" # length, type, flags, code, id, size
    PREFIX_SIZE = 16
    WHAT = "@4N" # type, flags and code of a frame as one number, which says what to do with it
    HEAD_OF_FRAME = "#{PREFIX}a*"
    FRAME = "#{PREFIX}a*a*" # a* takes bytes: strings of any encoding go side by side without a complaint

    DEFINE = 1
    REQUEST = 2
    RESPONSE = 10
    HEAD = 11
    CHUNK = 12
    FINISH = 13 # END in the document; that word is taken in Ruby
    FILE = 14
    STREAM = 15
    HINTS = 16
    HIJACK = 17
    FREE = 18
    OUTBOX = 19
    BELL = 20

    BODY_FILE = 1 # a flag of REQUEST
    BUSY = 1
    TAKEOVER = 2 # a flag of HEAD: HIJACK in the document
    ABORT = 4
    EAGER = 8

    # Bytes of a response that travel in frames; the rest of a longer one goes over a STREAM descriptor.
    LONGEST_IN_FRAMES = 256 * 1024

    EMPTY = ""

    NEVER = { Object => :never }.freeze
    private_constant :NEVER

    module_function

    def frame(type, id, code: 0, flags: 0, head: EMPTY, body: EMPTY)
      size = head.bytesize
      [PREFIX_SIZE - 4 + size + body.bytesize, type, flags, code, id, size, head, body].pack(FRAME)
    end

    # For frames that are sent while the app's code is on the stack: a Timeout of its own must not cut them in two.
    def uninterrupted(&block)
      Thread.handle_interrupt(NEVER, &block)
    end
  end
end
