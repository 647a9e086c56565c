# frozen_string_literal: true

module Serval
  # A worker that has ended, as after_worker_shutdown blocks get it (Puma 7.1: Puma::Cluster::WorkerHandle).
  class WorkerHandle
    attr_reader :index, :pid, :phase, :process_status, :started_at

    # From the strings that the front sends.
    def self.parse(fields)
      index, pid, phase, status, started_at, last_status = fields
      new(Integer(index), Integer(pid), Integer(phase || 0), Status.new(Integer(pid), Integer(status || 0)),
          Time.at(Float(started_at || 0)), last_status)
    end

    def initialize(index, pid, phase, process_status, started_at, last_status)
      @index = index
      @pid = pid
      @phase = phase
      @process_status = process_status
      @started_at = started_at
      @last_status_text = last_status.to_s
    end

    # What the worker last said of itself, {} if it never did.
    def last_status
      return {} if @last_status_text.empty?

      require "json"
      @last_status ||= JSON.parse(@last_status_text, symbolize_names: true)
    end

    # What Process::Status says, for a process that this one cannot wait for. status: as wait(2) gives it.
    Status = Struct.new(:pid, :to_i) do
      def exited?
        (to_i & 0x7f).zero?
      end

      def exitstatus
        to_i >> 8 & 0xff if exited?
      end

      def success?
        exitstatus.zero? if exited?
      end

      def signaled?
        !exited?
      end

      def termsig
        to_i & 0x7f if signaled?
      end

      def coredump?
        to_i.anybits?(0x80)
      end
    end
  end
end
