# Answers at once at /, sleeps 100 ms at /sleep as for a slow service, and computes in pure Ruby at /cpu until its thread has
# used 20 ms of CPU.
# frozen_string_literal: true

busy = lambda do |milliseconds|
  used = -> { Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID, :float_millisecond) }
  finish = used.call + milliseconds
  rounds = 0
  1_000.times { rounds += 1 } while used.call < finish
  rounds
end

answers = {
  "/" => -> { "short" },
  "/sleep" => -> { "slept #{sleep(0.1)} s" },
  "/cpu" => -> { "#{busy.call(20)} rounds" }
}

run(lambda do |env|
  body = answers.fetch(env["PATH_INFO"]).call
  [200, { "content-type" => "text/plain", "content-length" => body.bytesize.to_s }, [body]]
end)
