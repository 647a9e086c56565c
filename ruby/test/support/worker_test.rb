# frozen_string_literal: true

require "minitest/autorun"
require_relative "front"

Minitest.after_run { FileUtils.rm_rf(Front::LIBRARIES) }

# A test that meets a real worker process.
class WorkerTest < Minitest::Test
  def teardown
    @fronts&.each(&:close)
  end

  # A front whose worker has loaded +app+, the text of a config.ru.
  def serve(app, **settings)
    front_of(Front.ready(app: app, **settings))
  end

  # A front whose worker may fail to boot.
  def boot(**settings)
    front_of(Front.new(**settings))
  end

  private

  def front_of(front)
    (@fronts ||= []) << front
    front
  end
end
