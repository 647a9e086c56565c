# frozen_string_literal: true

module Serval
  # Forks a process that is the front's to wait for and not this one's: the process in the middle ends at once, and the
  # kernel gives its child to the front, the nearest subreaper. So workers outlive their mold, and it has no zombies.
  module Offspring
    module_function

    # Runs +life+, and whatever the processes forked from this one are to do. They go on from here, at the bottom of the
    # stack: what their ancestors had on it is none of theirs, and grew with every refork.
    def live(life)
      life = catch(:life) { life.call && nil } while life
    end

    # Has +life+ run in a new process and returns its number. first: what the new process does right where it is, before
    # anything is tidied up on the way down the stack. Raises what kept it from being forked.
    def fork(first, &life)
      reader, writer = IO.pipe
      middle = Process.fork || bear(reader, writer, first, life)
      writer.close
      said = reader.read
      Process.wait(middle)
      Integer(said, exception: false) or raise IOError, "cannot fork: #{said.empty? ? $?.inspect : said}"
    ensure
      [reader, writer].each { |io| io&.close }
    end

    # The process in the middle.
    def bear(reader, writer, first, life)
      child = Process.fork
      unless child
        [reader, writer].each(&:close)
        first.call
        throw :life, life
      end
      writer.write(child)
      exit!(0)
    rescue Exception => e # rubocop:disable Lint/RescueException -- neither is to go on as if it were the mold
      writer.write("#{e.class}: #{e.message}") unless writer.closed?
      exit!(1)
    end
  end
end
