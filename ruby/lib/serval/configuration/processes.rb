# frozen_string_literal: true

module Serval
  class Configuration
    # The app and the processes that run it.
    module Processes
      # A Rack app, in place of a rackup file.
      def app(object = nil, &block)
        @configuration.keep(:app, callable(:app, object, block))
      end

      # The first one counts, as in Puma.
      def rackup(path)
        record(:rackup, "rackup", words(:rackup, path)) unless @configuration.option(:rackup)
      end

      def environment(name)
        record(:environment, "environment", words(:environment, name))
      end

      def directory(dir)
        record(:directory, "dir", words(:directory, dir))
      end

      def tag(name)
        record(:tag, "tag", words(:tag, name))
      end

      def pidfile(path)
        record(:pidfile, "pidfile", words(:pidfile, path))
      end

      # A number, "auto" or :auto; nil is 0.
      def workers(count)
        raise Refusal, "workers cannot be changed in a block of single or cluster, which depend on it" if @configuration.in_mode?

        count = count.to_s == "auto" ? :auto : whole(:workers, count || 0)
        record(:workers, "workers", count)
      end

      def threads(min, max = min)
        min = whole(:threads, min)
        max = whole(:threads, max)
        raise Refusal, "threads #{min}, #{max}: the smaller number comes first" if min > max
        raise Refusal, "threads #{min}, #{max}: give at least one" if max < 1

        @configuration.choose(:min_threads, min)
        @configuration.choose(:max_threads, max)
        @configuration.set("threads", "#{min}:#{max}")
      end

      def preload_app!(answer = true) # rubocop:disable Style/OptionalBooleanParameter
        record(:preload_app, "preload", answer ? true : false)
      end

      def fork_worker(after_requests = 1000)
        record(:fork_worker, "fork-worker", whole(:fork_worker, after_requests))
      end

      def worker_check_interval(interval)
        record(:worker_check_interval, "worker-check-interval", seconds(:worker_check_interval, interval))
      end

      def worker_timeout(timeout)
        timeout = seconds(:worker_timeout, timeout)
        interval = @configuration.option(:worker_check_interval, 5)
        if timeout <= interval
          raise Refusal, "worker_timeout #{timeout}: give more than worker_check_interval, #{interval} seconds"
        end

        record(:worker_timeout, "worker-timeout", timeout)
      end

      def worker_boot_timeout(timeout)
        record(:worker_boot_timeout, "boot-timeout", seconds(:worker_boot_timeout, timeout))
      end

      def worker_shutdown_timeout(timeout)
        record(:worker_shutdown_timeout, "shutdown-timeout", seconds(:worker_shutdown_timeout, timeout))
      end

      def worker_culling_strategy(strategy)
        unless %w[youngest oldest].include?(strategy.to_s)
          raise Refusal, "worker_culling_strategy #{strategy.inspect}: give :youngest or :oldest"
        end

        record(:worker_culling_strategy, "worker-culling-strategy", strategy, chosen: strategy.to_sym)
      end

      # A number of seconds, :forever or :immediately.
      def force_shutdown_after(value = :forever)
        @force = { forever: -1, immediately: 0 }.fetch(value) { seconds(:force_shutdown_after, value) }
        @configuration.choose(:force_shutdown_after, @force)
        @forced = @configuration.position
      end

      def raise_exception_on_sigterm(answer = true) # rubocop:disable Style/OptionalBooleanParameter
        record(:raise_exception_on_sigterm, "quiet-term", !answer, chosen: answer)
      end

      # nil: never.
      def idle_timeout(timeout)
        record(:idle_timeout, "idle-timeout", timeout.nil? ? 0 : seconds(:idle_timeout, timeout), chosen: timeout)
      end

      def state_path(path)
        record(:state, "state", words(:state_path, path))
      end

      def state_permission(mode)
        mode = mode.is_a?(Integer) ? mode : Integer(mode.to_s, 8)
        record(:state_permission, "state-permission", format("0%o", mode), chosen: mode)
      rescue ArgumentError
        raise Refusal, "state_permission #{mode.inspect}: give a mode, as 0640"
      end

      # url: tcp://, unix:// or "auto". options: auth_token:, no_token:, data_only:; umask: has no effect in Puma either.
      def activate_control_app(url = "auto", options = {})
        known = %i[auth_token no_token umask data_only]
        unknown = options.keys.map(&:to_sym) - known
        raise Refusal, "activate_control_app knows no #{unknown.first}: give #{known.join(", ")}" unless unknown.empty?

        record(:control_url, "control-url", words(:activate_control_app, url))
        token = options[:no_token] ? "none" : options[:auth_token]
        record(:control_auth_token, "control-token", token) if token
        record(:control_data_only, "control-data-only", true) if options[:data_only]
      end

      private

      # Serval has one deadline for requests at the end, Puma two: a worker's own, and the master's for the worker.
      def settle_shutdown
        return if @force.nil?

        limit = @configuration.option(:worker_shutdown_timeout)
        if @force.negative?
          @configuration.set_at(@forced, "shutdown-timeout", FOREVER) unless limit || @configuration.cluster?
        elsif limit.nil? || @force < limit
          @configuration.set_at(@forced, "shutdown-timeout", @force)
        end
      end

      FOREVER = 10 * 365 * 24 * 3600 # seconds
      private_constant :FOREVER
    end
  end
end
