# frozen_string_literal: true

require "rbconfig"
require "socket"
require "tmpdir"
require "fileutils"
require_relative "frame"
require_relative "outbox"

# Plays the front to a real worker process: starts worker.rb with its four descriptors and talks frames with it.
class Front
  WORKER = File.expand_path("../../lib/serval/worker.rb", __dir__)
  PATIENCE = 60 # seconds for whatever a test waits for: a slow machine must not fail a test

  # SERVAL_ACCELERATOR=on runs all tests with the worker's path in C.
  ACCELERATOR = ENV.fetch("SERVAL_ACCELERATOR", "off")
  LIBRARIES = Dir.mktmpdir("serval-accelerator")
  DEFAULTS = { index: 0, threads: 1, workers: 1, rackup: "config.ru", version: "0.1", accelerator: ACCELERATOR,
               accelerator_directory: LIBRARIES }.freeze

  class Timeout < StandardError; end

  # What came back for one request.
  Response = Struct.new(:status, :headers, :body, :frames) do
    def last
      frames.last
    end

    def names
      frames.map(&:name)
    end
  end

  attr_reader :pid, :directory, :requests, :control

  # app: the text of config.ru, nil for none. Other keys are settings of the worker, :env goes to its environment.
  def initialize(app: nil, files: {}, env: {}, ruby: [], **settings)
    @directory = Dir.mktmpdir("serval-worker")
    files.merge("config.ru" => app).each { |name, text| write_file(name, text) if text }
    @log = File.join(@directory, "stderr.log")
    @buffer = String.new
    @descriptors = []
    @kept = []
    @next_id = 0
    spawn(env, ruby, DEFAULTS.merge(settings))
  end

  # Starts a worker and waits for its app; raises with the worker's words if that fails.
  def self.ready(**options)
    front = new(**options)
    type, _, text = front.message
    return front if type == "R"

    front.close
    raise "the worker did not boot: #{text}"
  end

  def write_file(name, text)
    path = File.join(@directory, name)
    FileUtils.mkdir_p(File.dirname(path))
    File.binwrite(path, text)
    path
  end

  # --- requests ---

  # Sends a request in shape 0 and returns its id.
  def ask(path = "/", id: next_id, **options)
    send_bytes(request(id, path, **options))
    id
  end

  # The bytes of such a request.
  def request(id, path, method: "GET", body: "", flags: 0, **env)
    path, query = path.b.split("?", 2)
    pairs = {
      "REQUEST_METHOD" => method, "REQUEST_URI" => [path, query].compact.join("?"), "PATH_INFO" => path,
      "QUERY_STRING" => query.to_s, "SERVER_PROTOCOL" => "HTTP/1.1", "SERVER_NAME" => "localhost",
      "SERVER_PORT" => "9292", "REMOTE_ADDR" => "127.0.0.1", "rack.url_scheme" => "http",
      "HTTP_HOST" => "localhost:9292"
    }.merge(env.transform_keys(&:to_s))
    Frame.bytes(:request, id, flags: flags, head: pairs.flatten.map { |word| "#{word}\0".b }.join, body: body)
  end

  def get(path = "/", **options)
    response(ask(path, **options))
  end

  def next_id
    @next_id += 1
  end

  def send_bytes(bytes)
    deadline = clock + PATIENCE
    until bytes.empty?
      written = @requests.write_nonblock(bytes, exception: false)
      next bytes = bytes.byteslice(written..-1) unless written == :wait_writable

      @requests.wait_writable(remaining(deadline, "the worker to read")) # the worker may wait for us to read as well
    end
  end

  # --- responses ---

  # The next frame from the worker, whichever way it comes; nil at the end of file. The socket is first: what wakes a front came before
  # what is in the outbox.
  def frame(patience: PATIENCE)
    deadline = clock + patience
    until (frame = next_of_socket || @outbox&.take)
      next if @outbox && !@outbox.doze

      wait_for(@requests, deadline, "a frame")
      @outbox&.wake
      return @outbox&.take if fill.empty?
    end
    frame
  ensure
    @outbox&.doze || @outbox&.wake
  end

  # All frames for request +id+ up to the one that frees its thread, put together.
  def response(id, patience: PATIENCE)
    response = Response.new(nil, nil, String.new, [])
    loop do
      frame = frame_of(id, patience) or raise Timeout, "end of file before the response was whole"
      add(response, frame)
      return response if over?(frame)
    end
  end

  # Whether the front may use the thread again after +frame+.
  def over?(frame)
    return true if frame.name == :free

    %i[response end file].include?(frame.name) && (frame.flags & Frame::BUSY).zero?
  end

  # --- control ---

  # The next control message as [type, id, text], nil at the end of file.
  def message(patience: PATIENCE)
    wait_for(@control, clock + patience, "a control message")
    packet = @control.recv(65_536)
    packet&.empty? || packet.nil? ? nil : packet.unpack("aNa*")
  end

  def tell(type, id, text = "", io = nil)
    rights = io ? [Socket::AncillaryData.unix_rights(io)] : []
    @control.sendmsg([type, id, text].pack("aNa*"), 0, nil, *rights)
  end

  # Wakes a sleeping thread.
  def poke
    @wake.write_nonblock("!")
  end

  # --- gates: an app that reads one waits until the test lets it pass ---

  def gate(name)
    File.mkfifo(File.join(@directory, name))
  end

  def pass(name, text = "")
    File.write(File.join(@directory, name), text)
  end

  # --- the process ---

  def log
    File.binread(@log).force_encoding(Encoding::UTF_8)
  end

  # Waits until +pattern+ is in the worker's log.
  def wait_for_log(pattern)
    deadline = clock + PATIENCE
    sleep 0.005 until log.match?(pattern) || clock > deadline
    log
  end

  def status
    deadline = clock + PATIENCE
    until @status
      _, @status = Process.wait2(@pid, Process::WNOHANG)
      remaining(deadline, "the worker to leave")
      sleep 0.005 unless @status
    end
    @status
  end

  # As a front that wants the worker gone does it; returns the exit status.
  def retire
    @requests.close_write
    status
  end

  def close
    [@requests, @control, @wake].each(&:close)
    Process.kill(:KILL, @pid) unless @status
    status
  ensure
    FileUtils.rm_rf(@directory)
  end

  private

  def spawn(env, ruby, settings)
    @requests, requests = UNIXSocket.pair
    @control, control = UNIXSocket.pair(:SEQPACKET)
    wake, @wake = IO.pipe
    settings = settings.map { |key, value| "#{key}=#{value}" }.join("\n")
    env = { "SERVAL_WORKER" => settings, "RACK_ENV" => "test", "LC_ALL" => "C.UTF-8" }.merge(env)
    @pid = Process.spawn(env, RbConfig.ruby, *ruby, WORKER, 3 => requests, 4 => control, 5 => wake, 6 => @wake,
                         :chdir => @directory, %i[out err] => @log)
    [requests, control, wake].each(&:close)
  end

  # The next frame for request +id+. Others may come before it: two ways lead here.
  def frame_of(id, patience)
    kept = @kept.index { |frame| frame.id == id }
    return @kept.delete_at(kept) if kept

    while (frame = frame(patience: patience))
      return frame if frame.id == id

      @kept << frame
    end
  end

  def next_of_socket
    while (frame = Frame.take(@buffer) || (fill if @requests.wait_readable(0)) && Frame.take(@buffer))
      frame.io = @descriptors.shift if %i[file stream outbox].include?(frame.name)
      return frame unless %i[outbox bell].include?(frame.name)

      @outbox = Outbox.new(IO.for_fd(frame.io.fileno, "r+b").tap { frame.io.autoclose = false }) if frame.name == :outbox
    end
  end

  def fill
    bytes, _, _, *ancillary = @requests.recvmsg(65_536, 0, 1024, scm_rights: true)
    @descriptors.concat(ancillary.flat_map { |data| data.unix_rights || [] })
    @buffer << bytes.to_s
    bytes.to_s
  end

  def add(response, frame)
    response.frames << frame
    response.status, response.headers = frame.code, frame.headers if %i[response head file].include?(frame.name)
    case frame.name
    when :file then response.body << read_file(frame)
    when :stream then response.body << frame.io.read
    when :response, :head, :chunk then response.body << frame.body
    end
    frame.io&.close
  end

  def read_file(frame)
    offset, length = frame.body.unpack("Q>Q>")
    frame.io.seek(offset)
    frame.io.read(length).to_s
  end

  def wait_for(io, deadline, what)
    io.wait_readable(remaining(deadline, what)) || raise(Timeout, "waited too long for #{what}; the log says:\n#{log}")
  end

  def remaining(deadline, what)
    left = deadline - clock
    left.positive? ? left : raise(Timeout, "waited too long for #{what}; the log says:\n#{log}")
  end

  def clock
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
