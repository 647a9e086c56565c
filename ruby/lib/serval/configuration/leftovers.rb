# frozen_string_literal: true

module Serval
  class Configuration
    # Methods of Puma's that have no effect in Serval, because what they steer is not there. Each says so, once.
    module Leftovers
      # name => why; said whatever the arguments are.
      ALWAYS = {
        debug: "log_requests and serval ctl stats show what Serval does",
        extra_runtime_dependencies: "Bundler is never loaded outside the workers and molds",
        io_selector_backend: "the front waits for connections with epoll, without Ruby",
        max_io_threads: "threads are all there is: a request that only waits does not keep the others from running",
        nakayoshi_fork: "molds collect garbage before they fork; Puma 6 removed it, too",
        restart_command: "a restart goes by the arguments that Serval was started with",
        shutdown_debug: "serval ctl thread-backtraces shows what the threads do; what is killed at the end is in the log",
        wait_for_less_busy_worker: "one queue serves all workers, and a request never waits for a busy one while another is free",
        worker_directory: "workers run in the app's directory (directory); Puma 5 removed it, too"
      }.freeze

      # Said when they are switched on; off is what happens.
      WHEN_ON = {
        daemonize: "Serval stays in the foreground: let systemd or your shell put it into the background; Puma 5 removed it, too",
        prune_bundler: "not needed: a phased restart always loads the new Gemfile",
        tcp_mode: "Serval speaks HTTP only; Puma 5 removed it, too"
      }.freeze

      # Said when they are switched off; on is what happens.
      WHEN_OFF = {
        drain_on_shutdown: "clients that have connected before a stop are always served",
        mutate_stdout_and_stderr_to_sync_on_write: "the streams of workers are always unbuffered",
        queue_requests: "the front always reads requests whole before a thread gets them"
      }.freeze

      ALWAYS.each do |name, why|
        define_method(name) do |*arguments|
          @configuration.choose(name, arguments.size < 2 ? arguments.fetch(0, true) : arguments)
          note(name, why)
        end
      end

      WHEN_ON.each do |name, why|
        define_method(name) do |answer = true|
          @configuration.choose(name, answer)
          note(name, why) if answer
        end
      end

      WHEN_OFF.each do |name, why|
        define_method(name) do |answer = true|
          @configuration.choose(name, answer)
          note(name, why) unless answer
        end
      end

      # Serval has no such warnings.
      def silence_single_worker_warning
        @configuration.choose(:silence_single_worker_warning, true)
      end

      def silence_fork_callback_warning
        @configuration.choose(:silence_fork_callback_warning, true)
      end
    end
  end
end
