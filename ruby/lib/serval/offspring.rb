# frozen_string_literal: true

module Serval
  # Forks a process that is the front's to wait for and not this one's: the process in the middle ends at once, and the
  # kernel gives its child to the front, the nearest subreaper. So workers outlive their mold, and it has no zombies.
  module Offspring
    module_function

    # Runs the block in the new process and returns its number. Raises what kept it from being forked.
    def fork
      reader, writer = IO.pipe
      middle = Process.fork do
        writer.write(Process.fork { yield_alone(reader, writer) { yield } })
        exit!(0)
      rescue SystemCallError => e
        writer.write(e.message)
        exit!(1)
      end
      writer.close
      said = reader.read
      Process.wait(middle)
      Integer(said, exception: false) or raise IOError, "cannot fork: #{said.empty? ? $?.inspect : said}"
    ensure
      [reader, writer].each { |io| io&.close }
    end

    def yield_alone(*pipe)
      pipe.each(&:close)
      yield
    end
  end
end
