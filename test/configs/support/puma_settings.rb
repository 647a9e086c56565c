# frozen_string_literal: true

# Loads each configuration file that is named with the Puma that is installed, and writes what it makes of them, as JSON and
# under the names of Serval's settings: {path: {settings: {name: value}, hooks: {name: number}, objects: [name]}}.
require "json"
require "puma"
require "puma/configuration"
require "puma/launcher"

HOOKS = %i[before_fork before_worker_fork after_worker_fork before_worker_boot before_worker_shutdown before_refork
           out_of_band].freeze
OBJECTS = %i[app lowlevel_error_handler log_formatter].freeze

def seconds(number)
  number.to_f == number.to_i ? number.to_i.to_s : number.to_s
end

def remote_address(options)
  case options[:remote_address]
  when :socket then "socket"
  when :value then options[:remote_address_value]
  when :header then "header:#{options[:remote_address_header].delete_prefix("HTTP_")}"
  end
end

def path(name, options)
  name && File.expand_path(name, options[:directory] || Dir.pwd)
end

# nil stands for what Serval writes as an empty value.
def settings(options)
  limit = options[:max_fast_inline]
  {
    "workers" => options[:workers].to_s, "threads" => "#{options[:min_threads]}:#{options[:max_threads]}",
    "bind" => options[:binds].join(","), "environment" => options[:environment],
    "bind-to-activated-sockets" => options[:bind_to_activated_sockets]&.to_s,
    "preload" => (options[:preload_app] ? true : false).to_s, "dir" => options[:directory] || Dir.pwd,
    "rackup" => path(options[:rackup], options), "tag" => options[:tag],
    "pidfile" => path(options[:pidfile], options), "state" => path(options[:state], options),
    "state-permission" => options[:state_permission] ? format("0%o", options[:state_permission]) : "0600",
    "control-url" => options[:control_url_temp] ? "auto" : options[:control_url],
    "control-token" => token(options[:control_auth_token], options),
    "redirect-stdout" => options[:redirect_stdout], "redirect-stderr" => options[:redirect_stderr],
    "redirect-append" => (options[:redirect_append] ? true : false).to_s,
    "log-requests" => (options[:log_requests] ? true : false).to_s,
    "early-hints" => (options[:early_hints] ? true : false).to_s,
    "fork-worker" => (options[:fork_worker] || -1).to_s,
    "worker-check-interval" => seconds(options[:worker_check_interval]),
    "worker-timeout" => seconds(options[:worker_timeout]), "boot-timeout" => seconds(options[:worker_boot_timeout]),
    "shutdown-timeout" => seconds(options[:worker_shutdown_timeout]),
    "worker-culling-strategy" => options[:worker_culling_strategy].to_s,
    "header-timeout" => seconds(options[:first_data_timeout]),
    "keepalive-timeout" => seconds(options[:persistent_timeout]),
    "max-keepalive" => limit.infinite? ? "0" : limit.to_i.to_s,
    "remote-address" => remote_address(options), "url-scheme" => options[:rack_url_scheme],
    "quiet-term" => (!options[:raise_exception_on_sigterm]).to_s
  }
end

# Serval makes a token up when the server starts, Puma when it reads the file.
def token(token, options)
  return if token.nil? || options[:control_url_temp]

  token == "none" ? "none" : "hidden"
end

def describe(file, environment)
  before = ENV.to_h
  ENV.update(environment)
  configuration = Puma::Configuration.new(file ? { config_files: [file] } : { config_files: ["-"] })
  configuration.load
  configuration.clamp
  options = configuration.options
  hooks = HOOKS.map { |name| [name, options.all_of(name).size] }.to_h
  hooks[:before_restart] = options.all_of(:on_restart).size
  { settings: settings(configuration.final_options), hooks: hooks.reject { |_, number| number.zero? },
    objects: OBJECTS.select { |name| options[name] } }
ensure
  ENV.replace(before)
end

asked = JSON.parse($stdin.read)
puts JSON.generate(asked.map { |name, of| [name, describe(of["file"], of["env"])] }.to_h)
