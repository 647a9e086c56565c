# frozen_string_literal: true

require_relative "hooks"
require_relative "configuration/dsl"
require_relative "configuration/scope"
require_relative "configuration/plugins"

module Serval
  # What configuration files say: settings for the front, and blocks and objects for this process. The files are Ruby, with
  # the methods of Puma's and of Serval's own in DSL.
  class Configuration
    # One setting, by the name of its flag; value is written as on the command line.
    Setting = Struct.new(:name, :value, :file, :line)

    # Something that has no effect here, and why.
    Notice = Struct.new(:written, :text, :file, :line)

    # A mistake in a file, as a sentence. Which line it is in is found in its backtrace.
    class Refusal < StandardError; end

    # A file that cannot be evaluated. The message begins with the file and the line.
    class Error < StandardError; end

    LIBRARY = "#{__dir__}/"

    # Evaluates files in their order. workers: how many there will be when that is decided elsewhere, for the blocks of
    # `single` and `cluster`; nil when the files decide. plugins: names of some besides those in the files. Raises Error.
    def self.load(paths, environment: "production", workers: nil, plugins: [])
      new(environment, workers).tap { |configuration| configuration.evaluate(paths, plugins) }
    end

    attr_reader :hooks, :settings, :notices, :objects, :plugins, :environment, :store

    def initialize(environment, workers = nil)
      @environment = environment
      @workers = workers
      @hooks = Hooks.new
      @settings = []
      @options = {}   # by the DSL's name, as `get` sees them
      @notices = []
      @objects = {}   # name => [object, file, line]
      @modes = []     # blocks of `single` and `cluster`
      @plugins = Plugins.new
      @store = []     # texts that addresses refer to by "store:N": certificates and keys
      @files = []
      @dsl = DSL.new(self)
    end

    def evaluate(paths, plugins = [])
      located do
        plugins.each { |name| @plugins.add(name, "--plugin", 0) }
        @plugins.configure(@dsl)
        paths.each { |path| evaluate_file(path) }
        @modes.each { |mode, block| within_mode(mode, block) if mode == (cluster? ? :cluster : :single) }
        @dsl.settle
      end
    end

    # The Rack app that a file gives, nil when it is in a rackup file.
    def app
      object(:app)
    end

    def lowlevel_error_handler
      object(:lowlevel_error_handler)
    end

    def log_formatter
      object(:log_formatter)
    end

    def custom_logger
      object(:custom_logger)
    end

    # The value that a method of the DSL was called with.
    def option(name, default = nil)
      @options.fetch(name.to_sym, default)
    end

    # All that the files have set, by the names of the DSL.
    def options
      @options.dup
    end

    # Lets plugins begin. launcher: what they know as Puma's.
    def start_plugins(launcher)
      @plugins.start(launcher)
    end

    # --- for the DSL ---

    def evaluate_file(path)
      full = File.expand_path(path)
      @files << full
      EVALUATE.call(@dsl, read(full, path), full)
      @plugins.configure(@dsl)
    end

    # name: a flag's; value: as on the command line. option and chosen: what `get` is to see.
    def set(name, value, option: nil, chosen: value)
      @options[option] = chosen if option
      @settings << Setting.new(name, value.to_s, *position)
    end

    # place: file and line, for what is only known when all files are read.
    def set_at(place, name, value)
      @settings << Setting.new(name, value.to_s, *place)
    end

    def choose(option, value)
      @options[option] = value
    end

    # Keeps a text that an address refers to, and returns its number.
    def store_text(text)
      @store << text.to_s
      @store.size - 1
    end

    # Forgets what was set so far under some names.
    def forget(*names)
      @settings.reject! { |setting| names.include?(setting.name) }
    end

    def add_hook(name, key, written, block)
      raise Refusal, "#{written} needs a block" unless block

      @hooks.add(Hooks::Hook.new(name, block, key, written.to_s, *position))
    end

    def keep(name, object)
      @options[name] = object
      @objects[name] = [object, *position]
    end

    def note(written, text)
      @notices << Notice.new(written.to_s, text, *position) unless @notices.any? { |notice| notice.written == written.to_s }
    end

    def later(mode, block)
      raise Refusal, "#{mode} needs a block" unless block

      @modes << [mode, block]
    end

    # Whether there are workers by number, as far as is known.
    def cluster?
      workers = @workers || option(:workers) || Integer(ENV.fetch("WEB_CONCURRENCY", "0"), exception: false) || 1
      workers != 0
    end

    def in_mode?
      !@mode.nil?
    end

    # Where the file that is being evaluated is: the innermost frame that is neither ours nor Ruby's.
    def position
      frame = caller_locations.find { |location| !location.path.start_with?(LIBRARY, "<internal:") }
      frame ? [frame.path, frame.lineno] : ["", 0]
    end

    private

    def object(name)
      @objects[name]&.first
    end

    def read(full, path)
      File.read(full, encoding: Encoding::UTF_8)
    rescue SystemCallError => e
      raise Error, "cannot read the configuration file #{path}: #{e.message.sub(/ @ .*/, "").downcase}" unless @files.size > 1

      raise Refusal, "cannot load #{path}: #{e.message.sub(/ @ .*/, "").downcase}"
    end

    def within_mode(mode, block)
      @mode = mode
      @dsl.instance_eval(&block)
    ensure
      @mode = nil
    end

    def located
      yield
    rescue Error, SignalException, NoMemoryError
      raise
    rescue Exception => e # rubocop:disable Lint/RescueException -- SyntaxError and SystemExit are mistakes of the file, too
      raise Error, explain(e)
    end

    def explain(error)
      file, line = place_of(error)
      text = words_of(error)
      return text.sub(file, short(file)) if error.is_a?(SyntaxError) && text.start_with?(file.to_s)

      file ? "#{short(file)}:#{line}: #{text}" : "--plugin: #{text}"
    end

    def words_of(error)
      case error
      when Refusal, SyntaxError then return error.message
      when SystemExit then return "the file called exit"
      when ArgumentError
        ours = error.backtrace_locations&.first
        return "#{ours.base_label}: #{error.message}" if ours&.path.to_s.start_with?(LIBRARY)
      end
      "#{error.class}: #{error.message}"
    end

    # The innermost frame in one of the files; for what cannot be parsed, what the message says.
    def place_of(error)
      if error.is_a?(SyntaxError) && (file = @files.find { |path| error.message.start_with?("#{path}:") })
        return [file, error.message[/\A.*?:(\d+)/m, 1]]
      end
      frame = error.backtrace_locations&.find { |location| @files.include?(location.path) }
      frame ? [frame.path, frame.lineno] : [@files.last, 1]
    end

    # A path as people write it: from the current directory when it is below.
    def short(path)
      path.to_s.sub(/\A#{Regexp.escape(Dir.pwd)}\//, "")
    end
  end
end
