# frozen_string_literal: true

require_relative "failure"
require_relative "log"
require_relative "report"
require_relative "blocks"
require_relative "as_puma"

module Serval
  # From a fresh process to a loaded app. What goes wrong on the way is told to the front on the control socket.
  module Boot
    REQUESTS = 3
    CONTROL = 4
    WAKE = [5, 6].freeze # to read from, to write to
    LONGEST_TEXT = 60 * 1024 # bytes; a control message ends at 64 KiB

    module_function

    # The life of a worker that was not forked from a mold.
    def run(settings)
      prepare(settings)
      blocks = reporting(settings) { set_up(settings) }
      # Puma's single mode: the only process is the master as well.
      launcher = answer_as_puma(settings, blocks)
      blocks.start_plugins(launcher) unless settings.cluster?
      serve(settings, blocks, nil, launcher)
    end

    # The life of a worker whose bundle and configuration are there. app: nil when it is not loaded yet. launcher: what blocks
    # and plugins got as Puma's; nil when there were none in this process.
    def serve(settings, blocks, app, launcher = nil)
      preloaded = !app.nil?
      # Puma's single mode has no workers, and so runs none of their blocks.
      blocks.run(:before_worker_boot, settings.index) if settings.cluster?
      app ||= reporting(settings) { load_app(settings, blocks) }.tap { warm_up }
      enable_yjit if settings.yjit?
      require_relative "runtime"
      Runtime.new(settings, app, blocks, answer_as_puma(settings, blocks, launcher, preloaded)).run
    end

    # Lets Puma, if it is there, answer for this process, and returns what blocks and plugins get as its launcher.
    def answer_as_puma(settings, blocks, launcher = nil, preloaded = false)
      require "socket"
      require_relative "launcher"
      launcher ||= Launcher.new(UNIXSocket.for_fd(CONTROL))
      AsPuma.answer(launcher, AsPuma.options(settings, blocks, preloaded))
      launcher
    end

    # Once the app is loaded, as Rails does it: what runs but once while it loads need not be compiled. Ruby 3.3 is the
    # first that can begin so late, and the first whose YJIT is meant for everybody.
    def enable_yjit
      RubyVM::YJIT.enable if defined?(RubyVM::YJIT) && RubyVM::YJIT.respond_to?(:enable)
    end

    def prepare(settings)
      $stdout.sync = $stderr.sync = true
      Process.setproctitle(settings.title)
      Log.set_up(settings)
      # Handlers and not "IGNORE", which the processes an app starts would inherit. A Ctrl-C reaches every process
      # of the terminal; when to stop is the front's to say. By default TTIN and TTOU would stop the process in its tracks.
      %w[INT USR1 USR2 TTIN TTOU].each { |name| trap(name) {} }
      # In threads: what they do takes locks, which a signal handler may not.
      trap("PWR") { Thread.new { show_threads } } # Puma's INFO, where the system has none
      trap("HUP") { Thread.new { reopen_logs(settings) } }
    end

    def show_threads
      Log.write("INFO", "what the threads of PID #{Process.pid} are doing\n#{Report.backtraces(Thread.list - [Thread.current])}")
    end

    # After a log rotation has moved the files away. The front has made the new ones.
    def reopen_logs(settings)
      { $stdout => settings.stdout, $stderr => settings.stderr }.each do |stream, path|
        next unless path && stream.respond_to?(:reopen)

        stream.reopen(path, "a")
        stream.sync = true
      end
    rescue SystemCallError => e
      Log.error("cannot reopen the logs: #{e.message}")
    end

    # Makes the bundle's gems available and returns the configuration's Blocks.
    def set_up(settings)
      $LOAD_PATH.unshift(*settings.load_path)
      set_up_bundle(settings.bundle_gemfile)
      # Not earlier: Bundler may replace the process to switch to the version the lockfile names.
      [REQUESTS, CONTROL, *WAKE].each { |number| IO.for_fd(number, autoclose: false).close_on_exec = true }
      Blocks.load(settings)
    end

    def load_app(settings, blocks)
      load_rack
      return evaluate(settings.rackup) unless (app = blocks.app)
      raise TypeError, "the configuration's app, #{app.class}, has no method call" unless app.respond_to?(:call)

      app
    end

    # The app is loaded, requests come next: what is left of the loading goes, and what stays is moved together (Ruby 3.3; false
    # for older ones, since some extensions do not bear their GC.compact). A process forked from one that did this must not
    # do it again: it would write to all the memory that it shares.
    def warm_up
      Process.respond_to?(:warmup) && Process.warmup
    end

    # Ends the process with the reason when a step of the boot fails.
    def reporting(settings)
      yield
    rescue Exception => e # rubocop:disable Lint/RescueException -- SystemExit and SyntaxError end a boot, too
      give_up(explain(e, settings))
    end

    # Puts descriptors into the places that a worker has them in.
    def place(ios)
      [REQUESTS, CONTROL, *WAKE].zip(ios) do |number, io|
        IO.for_fd(number, autoclose: false).reopen(io)
        io.close
      end
    end

    # A worker's descriptors make way for those of a mold.
    def make_way(socket)
      place([File.open(File::NULL), socket, File.open(File::NULL), File.open(File::NULL)])
    end

    def set_up_bundle(gemfile)
      return if gemfile.nil? || bundled?

      ENV["BUNDLE_GEMFILE"] = gemfile
      # Not bundler/setup: that file prints what is wrong and exits, here the reason goes to the front.
      require "bundler"
      Bundler.setup
    end

    def bundled?
      $LOADED_FEATURES.any? { |path| path.end_with?("/bundler/setup.rb") }
    end

    def load_rack
      require "rack"
      require "rack/builder"
      # Every server so far has loaded it, and so Rack::Lint (2.2) and many apps use it without asking for it.
      require "uri"
    end

    def evaluate(rackup)
      raise Errno::ENOENT, rackup unless File.exist?(rackup)

      result = Rack::Builder.parse_file(rackup)
      # Rack 2 returns the app and the options of its first line, Rack 3 the app.
      app = result.respond_to?(:call) ? result : result.first
      raise TypeError, "#{rackup} gives no Rack app: #{app.class} has no method call" unless app.respond_to?(:call)

      app
    end

    def explain(error, settings)
      case error
      when Errno::ENOENT
        return "there is no #{settings.rackup} in #{Dir.pwd}" unless File.exist?(settings.rackup)
      when LoadError
        return "cannot load rack: add gem \"rack\" to the Gemfile" if error.path == "rack"
      when SystemExit
        return "the app called exit while it was loading\n#{Failure.describe(error)}"
      end
      # These say themselves where the mistake is.
      return Failure.message_of(error) if defined?(Configuration::Error) && error.is_a?(Configuration::Error)
      return Failure.message_of(error) if defined?(Bundler::BundlerError) && error.is_a?(Bundler::BundlerError)

      Failure.describe(error)
    end

    # exit! and not exit: at_exit handlers of a half loaded app are no use to anyone.
    def give_up(text)
      message = ["E", 0, text.b.byteslice(0, LONGEST_TEXT)].pack("aNa*")
      IO.for_fd(CONTROL, "r+", autoclose: false).syswrite(message)
      exit!(1)
    rescue SystemCallError
      exit!(1)
    end
  end
end
