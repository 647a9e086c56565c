# frozen_string_literal: true

module Serval
  # Work for moments when no request runs: the configuration's out_of_band blocks, and the garbage of the requests so far.
  #
  # It is done at the end of a request, by its thread, before the front hears that the thread is free: so the front gives
  # new requests to other workers while it has them.
  class OutOfBand
    # A collection is worth it when so much of the room that the last one left is used up. Ruby would make one when all is,
    # in the middle of a request. From 3.2 on it does when the slots of one size are, sooner than the sum of all would tell: each
    # time that it was faster, the share becomes smaller.
    SHARE = 0.6
    SMALLER = 0.7
    LARGER = 1.02

    LEAST = 6_000 # objects; for less it is never worth it
    SLOTS = GC::INTERNAL_CONSTANTS.fetch(:HEAP_PAGE_OBJ_LIMIT, 400) # of a page

    # Past these Ruby makes a full collection.
    FULL = { old_objects: :old_objects_limit, oldmalloc_increase_bytes: :oldmalloc_increase_bytes_limit }.freeze

    # blocks: the configuration's. collect: whether to collect garbage.
    def initialize(blocks, collect:)
      @blocks = blocks
      @hooks = blocks.any?(:out_of_band)
      @collect = collect
      @share = SHARE
      measure
    end

    # Whether there is something to do.
    def due?
      @hooks || (@collect && garbage?)
    end

    def run
      @blocks.run(:out_of_band) if @hooks
      collect if @collect && garbage?
    end

    private

    def garbage?
      if GC.count != @count # Ruby was faster
        @share *= SMALLER
        measure
      end
      GC.stat(:total_allocated_objects) > @enough || near?(:malloc_increase_bytes, :malloc_increase_bytes_limit)
    end

    # A full collection takes long, and is left to the times when Ruby is about to make one anyway.
    def collect
      GC.start(full_mark: FULL.any? { |count, limit| near?(count, limit) }, immediate_sweep: true)
      @share = [@share * LARGER, SHARE].min
      measure
    end

    def measure
      @count = GC.count
      @enough = GC.stat(:total_allocated_objects) + [@share * room, LEAST].max
    end

    # Objects that Ruby would make before it collects: in free slots, and in pages that it may add (slots since Ruby 3.4).
    def room
      stat = GC.stat
      more = stat[:heap_allocatable_slots] || stat.fetch(:heap_allocatable_pages, 0) * SLOTS
      stat[:heap_free_slots] + more
    end

    def near?(count, limit)
      GC.stat(count) > SHARE * GC.stat(limit)
    end
  end
end
