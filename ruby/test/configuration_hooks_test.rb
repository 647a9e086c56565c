# frozen_string_literal: true

require "minitest/autorun"
require "tempfile"
require_relative "../lib/serval/configuration"

class ConfigurationHooksTest < Minitest::Test
  def test_both_families_of_names_run_in_the_order_they_were_written
    seen = load("seen = []\n") do |text|
      Serval::Hooks::ALIASES.each { |old, name| text << "#{old} { $seen << :#{old} }\n#{name} { $seen << :#{name} }\n" }
    end
    Serval::Hooks::ALIASES.values.uniq.each do |name|
      $seen = []
      seen.hooks.run(name)
      want = Serval::Hooks::ALIASES.select { |_, n| n == name }.keys.flat_map { |old| [old, name] }
      assert_equal want, $seen
    end
  end

  def test_every_hook_says_where_it_runs
    Serval::Hooks::ALIASES.each_value { |name| assert_includes Serval::Hooks::PLACES, name }
    assert_equal %i[mold worker], Serval::Hooks::PLACES.values.uniq.sort
  end

  def test_arguments_are_passed_on_and_missing_ones_are_no_mistake
    $seen = []
    hooks = load("before_worker_boot { |index| $seen << index }\nbefore_worker_boot { $seen << :none }\n").hooks
    hooks.run(:before_worker_boot, 3)
    assert_equal [3, :none], $seen
  end

  def test_blocks_with_the_same_key_share_a_hash
    $seen = []
    hooks = load(<<~RUBY).hooks
      before_worker_boot(:a) { |index, shared| shared[:index] = index }
      before_worker_boot(:b) { |_, shared| $seen << shared.dup }
      on_worker_shutdown(:a) { |_, shared| $seen << shared.dup }
    RUBY
    hooks.run(:before_worker_boot, 1)
    hooks.run(:before_worker_shutdown, 1)
    assert_equal [{}, { index: 1 }], $seen
  end

  def test_what_a_hook_raises_is_logged_and_the_next_one_runs
    $seen = []
    hooks = load("before_fork { raise 'no' }\nbefore_fork { $seen << :second }\n").hooks
    _, log = capture_io { hooks.run(:before_fork, nil) }
    assert_equal [:second], $seen
    assert_match(/WARN hook before_fork \(.*:1\) failed: RuntimeError: no/, log)
  end

  def test_any_tells_whether_there_are_blocks
    hooks = load("on_booted { }\n").hooks
    assert hooks.any?
    assert hooks.any?(:after_booted)
    refute hooks.any?(:before_fork)
    refute load("").hooks.any?
  end

  private

  def load(text)
    yield text = +text if block_given?
    Tempfile.create("puma") do |file|
      file.write(text)
      file.flush
      return Serval::Configuration.load([file.path])
    end
  end
end
