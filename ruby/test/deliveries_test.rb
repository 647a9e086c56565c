# frozen_string_literal: true

require "minitest/autorun"
require_relative "../lib/serval/deliveries"

class DeliveriesTest < Minitest::Test
  def setup
    @deliveries = Serval::Deliveries.new
  end

  def test_what_came_first_waits_for_its_request
    @deliveries.put(1, nil, "one")
    @deliveries.put(2, nil, "two")
    assert_equal [[nil, "two"], [nil, "one"]], [@deliveries.take(2), @deliveries.take(1)]
  end

  def test_a_request_waits_for_what_comes_later
    takers = Array.new(5) { |id| Thread.new { @deliveries.take(id) } }
    4.downto(0) { |id| @deliveries.put(id, nil, id.to_s) }
    assert_equal %w[0 1 2 3 4], takers.map { |taker| taker.value.last }
  end

  def test_patience_has_an_end
    error = assert_raises(IOError) { @deliveries.take(3, patience: 0.01) }
    assert_equal "the front sent no descriptor for request 3 within 0.01 seconds", error.message
  end

  def test_what_comes_too_late_is_closed
    assert_raises(IOError) { @deliveries.take(3, patience: 0.001) }
    reader, writer = IO.pipe
    @deliveries.put(3, writer, "")
    assert_nil reader.read(1)
    @deliveries.put(3, nil, "for the next request with this id")
    assert_equal "for the next request with this id", @deliveries.take(3).last
  end
end
