# Takes its time or its life: /sleep?s=, /cpu?ms=, /gate?file=, /block, /kill, /exit!, /segv, /fork, /leak?mb=, and /fast, /pid, /env?name= to look on.
# frozen_string_literal: true

leaked = []

# Keeps this thread busy, and the GVL with it, for so much CPU time of its own.
busy = lambda do |milliseconds|
  now = -> { Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID, :float_millisecond) }
  finish = now.call + milliseconds
  rounds = 0
  rounds += 1 while now.call < finish
  rounds
end

die = lambda do |signal|
  Process.kill(signal, Process.pid)
  sleep # nothing more is to happen here
end

text = ->(body) { [200, { "content-type" => "text/plain" }, body.is_a?(String) ? ["#{body}\n"] : body] }
then_do = ->(first, &block) { Enumerator.new { |y| y << first; block.call } }

routes = {
  "/fast" => ->(_) { text.call("fast") },
  "/sleep" => ->(q) { sleep(q.fetch("s", 0.005).to_f) && text.call("slept") },
  "/cpu" => ->(q) { text.call("#{busy.call(q.fetch('ms', 20).to_f)} rounds") },
  "/gate" => ->(q) { (sleep(0.005) until File.exist?(q.fetch("file"))) || text.call("open") },
  "/block" => ->(_) { sleep },
  "/block-later" => ->(_) { text.call(then_do.call("one\n") { sleep }) },
  "/queue" => ->(_) { Queue.new.pop }, # dead-locked: no other thread will ever push

  "/pid" => ->(_) { text.call(Process.pid.to_s) },
  "/thread" => ->(_) { text.call("#{Process.pid} #{Thread.current.object_id}") },
  "/threads" => ->(_) { text.call(Thread.list.size.to_s) },
  "/env" => ->(q) { text.call(ENV.fetch(q.fetch("name"), "")) },

  "/kill" => ->(_) { die.call(:KILL) },
  "/kill-later" => ->(_) { text.call(then_do.call("one\n") { die.call(:KILL) }) },
  "/segv" => ->(_) { die.call(:SEGV) },
  "/term" => ->(_) { Process.kill(:TERM, Process.pid) && text.call("asked to go") },
  "/fork" => ->(_) { text.call(fork { sleep }.to_s) }, # the child is nobody's, whatever becomes of this worker
  "/exit!" => ->(_) { exit!(7) },

  "/leak" => ->(q) { leaked << "x" * (q.fetch("mb", 50).to_i << 20) && text.call("#{leaked.sum(&:bytesize) >> 20} MB") }
}
missing = ->(_) { [404, { "content-type" => "text/plain" }, ["no such path\n"]] }

# X-Entered names a file to create when a request has got here.
run lambda { |env|
  File.write(env["HTTP_X_ENTERED"], "") if env["HTTP_X_ENTERED"]
  routes.fetch(env["PATH_INFO"], missing).call(Rack::Utils.parse_query(env["QUERY_STRING"]))
}
