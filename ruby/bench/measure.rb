# frozen_string_literal: true

# Time of a call, as the best of many short runs: on a machine that does other work as well, the best run is the one
# that was disturbed least.
module Measure
  RUNS = 60
  CALLS = 3000

  module_function

  # Prints nanoseconds of CPU per call of each block: {"what" => -> (n) { n.times { … } }}.
  def compare(title, ways)
    puts title
    ways.each { |name, way| puts format("  %-44s %6.0f ns", name, best(way)) }
  end

  def best(way)
    way.call(CALLS)
    GC.start
    Array.new(RUNS) { cpu { way.call(CALLS) } }.min * 1e9 / CALLS
  end

  def cpu
    start = Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID)
    yield
    Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID) - start
  end
end
