# frozen_string_literal: true

module Serval
  # What the front tells a worker before it starts: lines of `key=value`. Unknown keys are skipped, so that a front
  # may be newer than the runtime it starts.
  class Settings
    VARIABLE = "SERVAL_WORKER"

    # Reads the settings and removes them: the app and the processes it starts have no use for them.
    def self.take(env, role: nil)
      new(env.delete(VARIABLE).to_s, role: role)
    end

    # text: the lines. role: what the process is, for its title.
    def initialize(text, role: nil)
      @role = role
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

    # Whether this is one of several workers as Puma counts them; its single mode has none.
    def cluster?
      workers.positive?
    end

    # Configuration files, evaluated in order.
    def config
      @values.fetch("config", "").split(":")
    end

    # Plugins that were named on the command line.
    def plugins
      @values.fetch("plugins", "").split(",")
    end

    # RACK_ENV by another name.
    def environment
      @values.fetch("environment") { ENV.fetch("RACK_ENV", "development") }
    end

    # Workers of this app as far as flags and variables say it, nil when the configuration files are to.
    def known_workers
      count = @values.fetch("known_workers", "")
      Integer(count) unless count.empty?
    end

    # Whether to compile what the app does, where this Ruby can. The front has seen to "on": it holds from Ruby's start.
    def yjit?
      @values["yjit"] == "auto" && ENV["RUBY_YJIT_ENABLE"] != "0"
    end

    # "auto", "on" or "off": whether the hot path is to be in C.
    def accelerator
      @values.fetch("accelerator", "off")
    end

    # Where what is compiled is kept: beside this code, which the front has put into a directory of this user's alone.
    def accelerator_directory
      @values.fetch("accelerator_directory", __dir__)
    end

    # Whether a mold loads the app before it forks.
    def preload?
      @values["preload"] == "1"
    end

    # Whether garbage is to be collected between requests.
    def out_of_band_gc?
      @values["out_of_band_gc"] == "1"
    end

    # How long this worker lives on for connections that the app has hijacked, in seconds.
    def hijack_timeout
      Float(@values.fetch("hijack_timeout", "0"))
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

    # Whether lines of the log are objects.
    def json_log?
      @values["log_format"] == "json"
    end

    def mold?
      @role == "mold"
    end

    def title
      role = @role || "worker #{index}"
      tag.empty? ? "serval: #{role}" : "serval: #{role} [#{tag}]"
    end
  end
end
