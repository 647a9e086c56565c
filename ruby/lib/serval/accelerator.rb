# frozen_string_literal: true

require "rbconfig"
require_relative "failure"
require_relative "log"

module Serval
  # accelerator.c: two steps of each request in C, where a compiler and Ruby's headers are.
  #
  # Nothing depends on it. Without it, and until it is there, its twins in Ruby do the work.
  class Accelerator
    # wish: "auto" compiles while requests are served already and keeps silent about what is missing, "on" before the first one
    # and says why there is none, "off" does nothing. ready: called once the compiled classes can be used.
    def initialize(wish, directory, &ready)
      @wish = RUBY_ENGINE == "ruby" ? wish : "off"
      @library = Library.new(directory)
      @ready = ready
    end

    # What can be done before the worker takes requests. What was compiled once is loaded in a millisecond.
    def prepare
      use if @wish == "on" || (@wish == "auto" && @library.there?)
    end

    # The rest.
    def complete
      return unless @wish == "auto" && !@used

      @completing = Thread.new { use }
      @completing.name = "serval accelerator"
    end

    # Waits until that is done, for so many seconds at most: who forks in its midst would leave files open in the new process.
    def await(limit)
      @completing&.join(limit)
    end

    private

    def use
      @used = true
      @library.build unless @library.there?
      @library.load
      @ready.call
    rescue StandardError, LoadError => e
      Log.warn("there is no accelerator, Ruby does its work: #{Failure.headline(e)}") if @wish == "on"
    end

    # The compiled file, one for each Ruby.
    class Library
      SOURCE = File.join(__dir__, "accelerator.c")
      RETRY = 3600 # seconds after which a compilation that failed is tried again

      # What a Ruby to come no longer has shows when this is compiled or loaded, and not in the midst of a request.
      SAFELY = %w[-Werror=implicit-function-declaration -Wl,-z,now].freeze

      class Error < StandardError; end

      # directory: one of this user and this version of Serval alone.
      def initialize(directory)
        # A Ruby that was built anew gets another file.
        built = File.exist?(RbConfig.ruby) ? File.mtime(RbConfig.ruby).to_i : 0
        @directory = File.join(directory, "#{RUBY_VERSION}-#{RUBY_PLATFORM}-#{built}#{RbConfig.ruby.tr("/", "-")}")
        @path = File.join(@directory, "accelerator.#{RbConfig::CONFIG["DLEXT"]}")
      end

      def there?
        File.file?(@path)
      end

      # Raises Error for a file that somebody else could have put there: it is about to run as this user.
      def load
        [@directory, @path].each do |path|
          stat = File.lstat(path)
          next if stat.owned? && !stat.symlink? && (stat.mode & 0o022).zero?

          raise Error, "#{path} can be written by others: remove it"
        end
        require @path
      end

      # Workers that boot together wait for the one that compiles.
      def build
        make_directory
        File.open(file("lock"), File::RDWR | File::CREAT | File::NOFOLLOW, 0o600) do |lock|
          lock.flock(File::LOCK_EX)
          compile unless there?
        ensure
          lock.flock(File::LOCK_UN) # a process that was forked meanwhile has it open as well
        end
      end

      private

      def file(name)
        File.join(@directory, name)
      end

      def make_directory
        Dir.mkdir(@directory, 0o700)
      rescue Errno::EEXIST
        nil
      end

      def compile
        raise Error, "Ruby's headers are not installed: #{header}" unless File.exist?(header)
        raise Error, File.read(file("failure")) if File.exist?(file("failure")) && Time.now - File.mtime(file("failure")) < RETRY

        part = file("#{Process.pid}.part")
        run_compiler(part)
        File.chmod(0o700, part)
        File.rename(part, @path)
      ensure
        Dir.glob(file("*.part")) { |left| File.unlink(left) } # another's as well, that ended before its compiler
      end

      def run_compiler(part)
        errors = file("errors.part")
        pid = Process.spawn(*compiler(part), in: File::NULL, out: File::NULL, err: errors)
        give_way(pid)
        _, status = Process.wait2(pid)
        pid = nil
        give_up(errors, status) unless status.success?
      rescue Errno::ECHILD
        pid = nil # the app waits for any child, and was faster
        give_up(errors) unless File.exist?(part)
      ensure
        Process.kill(:KILL, pid) if pid # the worker ends
      end

      def compiler(part)
        words = %w[CC ARCH_FLAG CCDLFLAGS].flat_map { |name| RbConfig::CONFIG[name].to_s.split }
        directories = %w[rubyhdrdir rubyarchhdrdir].map { |name| "-I#{RbConfig::CONFIG[name]}" }
        [*words, "-shared", "-O2", "-w", *SAFELY, *directories, "-o", part, SOURCE]
      end

      def header
        File.join(RbConfig::CONFIG["rubyhdrdir"].to_s, "ruby.h")
      end

      # Requests go first, and where memory is short, the compiler is what the kernel is to end, rather than a worker.
      def give_way(pid)
        Process.setpriority(Process::PRIO_PROCESS, pid, 19)
        File.write("/proc/#{pid}/oom_score_adj", "1000")
      rescue SystemCallError
        nil # it has ended already, or /proc is not for us
      end

      # status: how the compiler ended, nil if nobody knows. One that a signal ended, as Ctrl-C does, has said nothing.
      def give_up(errors, status = nil)
        text = "the C compiler failed: #{File.read(errors).lines.first.to_s.chomp}"
        File.write(file("failure"), text) if status&.exited?
        raise Error, text
      end
    end
  end
end
