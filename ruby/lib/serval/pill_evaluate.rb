# frozen_string_literal: true

# The doorway of the evaluator of Bluepill's files: a short-lived process that is started with a file's path and writes what
# is in it, as JSON, on descriptor 3, because files may print. Its environment and directory are those of whoever wants to
# know, as Bluepill has it.

require_relative "pill"

answer = IO.for_fd(3, "wb")
answer.close_on_exec = true
report = Serval::Pill.new(ARGV.shift).report
require "json"
answer.write(JSON.generate(report))
