# frozen_string_literal: true

require "minitest/autorun"
require "stringio"
require_relative "../lib/serval/input"

# NullInput does what an empty StringIO does.
class InputTest < Minitest::Test
  CALLS = [
    [:read], [:read, nil], [:read, 0], [:read, 5], [:gets], [:gets, "x"], [:rewind], [:pos], [:tell], [:size], [:eof?],
    [:eof], [:seek, 0], [:closed?], [:sync], [:length], [:binmode]
  ].freeze

  CALLS.each do |name, *arguments|
    define_method("test_#{name}_#{arguments.join("_")}_is_that_of_an_empty_string") do
      expected = StringIO.new(String.new).public_send(name, *arguments)
      actual = Serval::NullInput.new.freeze.public_send(name, *arguments)
      expected.is_a?(StringIO) ? assert_kind_of(Serval::NullInput, actual) : assert_equal([expected], [actual])
    end
  end

  def test_reading_into_a_buffer_empties_it
    [nil, 0, 5].each do |length|
      buffer, expected = +"old", +"old"
      assert_equal [StringIO.new.read(length, expected)], [Serval::NullInput.new.read(length, buffer)]
      assert_equal expected, buffer
    end
  end

  def test_each_gives_nothing
    Serval::NullInput.new.each { flunk }
  end

  def test_reading_past_the_end_says_so
    %i[readpartial sysread read_nonblock].each do |name|
      assert_raises(EOFError) { Serval::NullInput.new.public_send(name, 5) }
    end
  end

  def test_what_is_read_can_be_changed
    assert_equal "x", Serval::NullInput.new.read << "x"
    assert_equal Encoding::BINARY, Serval::NullInput.new.read.encoding
  end
end
