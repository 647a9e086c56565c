# frozen_string_literal: true

require "minitest/autorun"
require_relative "../lib/serval/requests"

class RequestsTest < Minitest::Test
  def setup
    @front, worker = UNIXSocket.pair
    @requests = Serval::Requests.new(worker)
  end

  def teardown
    @front.close
  end

  def frame(id, body)
    Serval::Wire.frame(Serval::Wire::CHUNK, id, body: body)
  end

  def test_frames_come_one_by_one_however_they_were_cut
    frames = Array.new(60) { |i| frame(i, "x" * (i * 13)) }
    (1..frames.sum(&:bytesize)).step(1009) do |piece|
      writer = Thread.new { frames.join.scan(/.{1,#{piece}}/mn).each { |bytes| @front.write(bytes) } }
      assert_equal frames, Array.new(60) { @requests.next.dup }
      writer.join
    end
  end

  def test_a_frame_may_be_larger_than_a_read
    large = frame(1, "x" * 1_000_000)
    writer = Thread.new { @front.write(large, frame(2, "")) }
    assert_equal large, @requests.next
    assert_equal frame(2, ""), @requests.next
    writer.join
  end

  def test_the_end_of_file_is_told_again_and_again
    @front.write(frame(1, "whole"), frame(2, "cut off")[0, 20])
    @front.close_write
    assert_equal frame(1, "whole"), @requests.next
    3.times { assert_nil @requests.next }
  end

  def test_frames_of_many_writers_never_mix_though_the_socket_is_full
    writers = Array.new(8) do |i|
      Thread.new { 40.times { |n| assert @requests.write(frame(i, n.chr * (n * 1000))) } }
    end
    reader = Serval::Requests.new(@front)
    seen = Hash.new { |bodies, id| bodies[id] = [] }
    320.times { reader.next.unpack("x8Nx4a*").then { |id, body| seen[id] << body } }
    writers.each(&:join)
    8.times { |i| assert_equal Array.new(40) { |n| n.chr * (n * 1000) }, seen[i] }
  end

  def test_a_descriptor_travels_with_its_frame
    File.open(__FILE__) { |file| assert @requests.write_with(file, frame(1, "see there")) }
    bytes, _, _, *ancillary = @front.recvmsg(1000, 0, 256, scm_rights: true)
    assert_equal frame(1, "see there"), bytes
    assert_equal File.read(__FILE__), ancillary.flat_map(&:unix_rights).first.read
  end

  def test_writing_to_a_front_that_is_gone_is_no_error
    @front.close
    refute @requests.write(frame(1, ""))
    File.open(__FILE__) { |file| refute @requests.write_with(file, frame(1, "")) }
  end
end
