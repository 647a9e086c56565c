# frozen_string_literal: true

require_relative "failure"
require_relative "pill/application"
require_relative "pill/bluepill"
require_relative "pill/numeric"

module Serval
  # A .pill file, evaluated: Bluepill's DSL is Ruby, with loops and whatever else its author thought of. Nothing is judged
  # here; what is written down is what was set, and where.
  class Pill
    # A mistake in the file, as a sentence.
    class Refusal < StandardError; end

    LIBRARY = "#{__dir__}/pill"
    SHIM = "#{__dir__}/pill/shim"
    REQUIRE = "/rubygems/core_ext/kernel_require" # stands before who called it, up to Ruby 2.7

    class << self
      # The file that is being evaluated, which Bluepill.application adds to.
      attr_accessor :current
    end

    def initialize(path)
      @path = File.expand_path(path)
      @applications = []
      @classes = []
    end

    # { error: nil, or a place and a text; applications: […]; classes: those that change or extend Bluepill }
    def report
      error = evaluate
      { error: error, applications: @applications.map(&:to_h), classes: @classes }
    end

    # Where sockets and pid files are, for applications that do not say. Who starts the evaluator knows.
    def base_dir
      ENV.fetch("BLUEPILL_BASE_DIR", "/var/run/bluepill")
    end

    def application(name, options, block)
      raise Refusal, "the application #{name} needs a block" unless block

      application = Application.new(name, options, position)
      @applications << application
      application.evaluate(block)
    end

    # Where the file is that is being evaluated: the innermost frame that is neither ours nor Ruby's.
    def position
      frame = caller_locations.find { |location| !location.path.start_with?(LIBRARY, "<internal:") }
      { file: frame.path, line: frame.lineno }
    end

    private

    def evaluate
      Pill.current = self
      $PROGRAM_NAME = @path # Bluepill's files are Ruby's main program, and some ask whether they are
      $LOAD_PATH.unshift(SHIM)
      watching_classes { load(@path) }
      nil
    rescue SignalException, NoMemoryError
      raise
    rescue Exception => e # rubocop:disable Lint/RescueException -- SyntaxError and SystemExit are mistakes of the file, too
      explain(e)
    end

    # Checks and triggers of one's own, and changes to Bluepill itself, are code that Serval does not run.
    def watching_classes(&block)
      TracePoint.new(:class) { |point| note_class(point) }.enable(&block)
    end

    def note_class(point)
      name = point.self.name
      kind = Bluepill.extended_by(point.self)
      return if kind.nil? || name.nil? || point.path.start_with?(LIBRARY)

      @classes << { name: name, kind: kind, file: point.path, line: point.lineno }
    end

    def explain(error)
      file, line = place_of(error)
      { file: file, line: line, text: words_of(error) }
    end

    def words_of(error)
      case error
      when Refusal then error.message
      when SystemExit then "the file called exit"
      when SyntaxError then Failure.message_of(error).sub(/\A.*?:\d+: /, "")
      else "#{error.class}: #{Failure.message_of(error)}"
      end
    end

    def place_of(error)
      if error.is_a?(SyntaxError) && (found = error.message.match(/\A(.*?):(\d+): /))
        return [found[1], found[2].to_i]
      end
      frame = error.backtrace_locations&.find { |location| !location.path.start_with?(Failure::RUNTIME, "<internal:") && !location.path.include?(REQUIRE) }
      frame ? [frame.path, frame.lineno] : [@path, 0]
    end
  end
end
