# Writes down in which order body, close, rack.after_reply and rack.response_finished run; /log tells it (one worker only).
# frozen_string_literal: true

log = Queue.new

# A body that says what is done with it.
class Told
  def initialize(log, error: nil)
    @log = log
    @error = error
  end

  def each
    @log << "each"
    yield "told\n"
    raise @error if @error
  end

  def close
    @log << "close"
  end
end

# What a hook of rack.response_finished was called with, in one line.
finished = lambda do |name|
  lambda do |env, status, headers, error|
    log << "finished #{name}: env #{env.class}, status #{status.inspect}, headers #{headers.class}, error #{error.inspect}"
  end
end

enlist = lambda do |env|
  after = env["rack.after_reply"]
  2.times { |i| after << -> { log << "after_reply #{i + 1}" } } if after
  last = env["rack.response_finished"]
  2.times { |i| last << finished.call(i + 1) } if last
end

# Runs what makes the response after both hooks are in place.
hooked = ->(&response) { ->(env) { enlist.call(env); response.call(env) } }

plain = { "content-type" => "text/plain" }.freeze
answer = ->(body) { [200, plain.dup, body] }

routes = {
  "/hooks" => hooked.call { answer.call(Told.new(log)) },
  "/array" => hooked.call { answer.call(["an array\n"]) },
  "/raise" => hooked.call { raise "before the response" },
  "/raise-later" => hooked.call { answer.call(Told.new(log, error: "in each")) },
  "/hook-raises" => hooked.call do |env| # the others must run all the same
    env["rack.after_reply"]&.unshift(-> { raise "in after_reply" })
    env["rack.response_finished"]&.push(->(*) { raise "in response_finished" })
    answer.call(Told.new(log))
  end,
  "/slow-hook" => lambda do |env| # the client has its response long before the thread is free
    env["rack.after_reply"]&.push(-> { sleep(1) && log << "slow" })
    answer.call(["at once\n"])
  end,
  "/log" => ->(_env) { answer.call([Array.new(log.size) { "#{log.pop}\n" }.join]) }
}
missing = ->(_env) { [404, plain.dup, ["no such path\n"]] }

run ->(env) { routes.fetch(env["PATH_INFO"], missing).call(env) }
