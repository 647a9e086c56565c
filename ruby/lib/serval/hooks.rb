# frozen_string_literal: true

require_relative "log"

module Serval
  # The blocks of the configuration that run at certain moments of a process's life, by name.
  class Hooks
    # block: what to run. key: names the hash it shares with other blocks, or nil. written: the DSL method that was called.
    Hook = Struct.new(:name, :block, :key, :written, :file, :line)

    # Where each kind runs: in the mold, which stands for Puma's master, or in every worker.
    PLACES = {
      before_fork: :mold, before_worker_fork: :mold, after_worker_fork: :mold, after_worker_shutdown: :mold,
      before_refork: :mold, after_refork: :mold, before_restart: :mold, after_booted: :mold, after_stopped: :mold,
      before_worker_boot: :worker, before_worker_shutdown: :worker, before_thread_start: :worker,
      before_thread_exit: :worker, out_of_band: :worker
    }.freeze

    # Names that Puma had before version 7, and its other spellings.
    ALIASES = {
      on_worker_fork: :before_worker_fork, after_worker_boot: :after_worker_fork, on_worker_boot: :before_worker_boot,
      on_worker_shutdown: :before_worker_shutdown, on_refork: :before_refork, on_thread_start: :before_thread_start,
      on_thread_exit: :before_thread_exit, on_restart: :before_restart, on_booted: :after_booted,
      on_stopped: :after_stopped
    }.freeze

    # Kinds whose blocks may share a hash (Puma 6).
    KEYED = %i[before_worker_boot before_worker_shutdown before_refork after_refork].freeze

    include Enumerable

    def initialize
      @hooks = []
      @shared = Hash.new { |hashes, key| hashes[key] = {} }
    end

    def add(hook)
      @hooks << hook
    end

    def each(&block)
      @hooks.each(&block)
    end

    # Whether there is a block of this name; with none, whether there is any block at all.
    def any?(name = nil)
      name ? @hooks.any? { |hook| hook.name == name } : !@hooks.empty?
    end

    # Runs the blocks of a name in the order they were written. What one raises is logged and forgotten, as in Puma: a
    # hook must not take a worker down.
    def run(name, *args)
      @hooks.each do |hook|
        call(hook, args) if hook.name == name
      end
    end

    private

    def call(hook, args)
      args += [@shared[hook.key]] if hook.key
      hook.block.call(*args)
    rescue StandardError => e
      Log.warn("hook #{hook.written} (#{hook.file}:#{hook.line}) failed: #{e.class}: #{e.message}\n" \
               "#{Array(e.backtrace).first(5).map { |line| "  #{line}" }.join("\n")}")
    end
  end
end
