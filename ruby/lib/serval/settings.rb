# frozen_string_literal: true

module Serval
  # What the front tells a worker before it starts: lines of `key=value`. Unknown keys are skipped, so that a front
  # may be newer than the runtime it starts.
  class Settings
    VARIABLE = "SERVAL_WORKER"

    # Reads the settings and removes them: the app and the processes it starts have no use for them.
    def self.take(env)
      new(env.delete(VARIABLE).to_s)
    end

    def initialize(text)
      @values = text.each_line(chomp: true).map { |line| line.split("=", 2) }.select { |pair| pair.size == 2 }.to_h
    end

    # Position of this worker among its siblings, from 0.
    def index
      Integer(@values.fetch("index", "0"))
    end

    # Requests this worker runs at a time, at least 1.
    def threads
      [Integer(@values.fetch("threads", "1")), 1].max
    end

    # Workers of this app, for rack.multiprocess.
    def workers
      Integer(@values.fetch("workers", "1"))
    end

    def rackup
      @values.fetch("rackup", "config.ru")
    end

    def tag
      @values.fetch("tag", "")
    end

    def version
      @values.fetch("version", "0")
    end

    # Directories for the front of $LOAD_PATH, in order.
    def load_path
      @values.fetch("include", "").split(":")
    end

    # Path of the Gemfile, nil for an app without one.
    def bundle_gemfile
      path = @values.fetch("bundle_gemfile", "")
      path unless path.empty?
    end

    # Files that the standard streams are redirected to, nil where they are not.
    def stdout
      @values["stdout"]
    end

    def stderr
      @values["stderr"]
    end

    def early_hints?
      @values["early_hints"] == "1"
    end

    # Whether an error page may show the exception to the client: in development and test.
    def debug_pages?
      @values["debug_pages"] == "1"
    end

    def title
      tag.empty? ? "serval: worker #{index}" : "serval: worker #{index} [#{tag}]"
    end
  end
end
