# frozen_string_literal: true

require_relative "support/worker_test"

class BootTest < WorkerTest
  HELLO = 'run ->(env) { [200, {}, ["hello"]] }'

  # --- what the front hears ---

  def test_a_loaded_app_is_told_with_facts
    front = boot(app: HELLO)
    type, id, text = front.message
    facts = text.split("\0").map { |fact| fact.split("=", 2) }.to_h
    assert_equal ["R", 0, RUBY_VERSION, front.pid.to_s], [type, id, facts["ruby"], facts["pid"]]
    assert_match(/\A\d+\.\d+/, facts["rack"])
  end

  def test_the_version_of_rails_is_a_fact_when_it_is_loaded
    front = boot(app: "module Rails; module VERSION; STRING = '7.1.2'; end; end\n#{HELLO}")
    assert_includes front.message[2], "rails=7.1.2\0"
  end

  FAILURES = {
    "no config.ru" => [{}, /\Athere is no config\.ru in .*serval-worker/],
    "an error" => [{ app: "raise ArgumentError, 'wrong'" }, /\AArgumentError: wrong\n    .*config\.ru:1:in /],
    "a syntax error" => [{ app: "run ->(env) {" }, /\ASyntaxError: (?m:.*)config\.ru:[12]: /],
    "a missing library" => [{ app: "require 'no_such_thing'" }, /\ALoadError: cannot load such file -- no_such_thing/],
    "a cause" => [{ app: "begin; raise 'one'; rescue; raise 'two'; end" }, /\ARuntimeError: two.*caused by .*: one/m],
    "an exit" => [{ app: "exit 0" }, /\Athe app called exit while it was loading.*config\.ru:1/m],
    "an abort" => [{ app: "abort 'enough'" }, /\Athe app called exit while it was loading\nSystemExit: enough/],
    "no app" => [{ app: "run nil" }, /no Rack app|missing run or map/]
  }.freeze

  FAILURES.each do |kind, (options, words)|
    define_method("test_a_boot_with_#{kind.tr(" .", "__")}_is_told_with_its_reason") do
      front = boot(**options)
      type, _, text = front.message
      assert_equal "E", type
      assert_match(words, text.force_encoding(Encoding::UTF_8))
      refute_match(%r{serval/boot\.rb}, text)
      assert_equal 1, front.status.exitstatus
      assert_nil front.message
    end
  end

  def test_a_file_that_is_missing_inside_the_app_is_not_taken_for_the_rackup
    assert_match(/Errno::ENOENT: .*other/, boot(app: "File.read('other')").message[2])
  end

  # Debian 11 has Rack where it is found without RubyGems, too.
  def hide_rack
    skip "rack cannot be hidden here" if system("ruby", "--disable-gems", "-e", "require 'rack'", err: File::NULL)
  end

  def test_a_missing_rack_names_the_remedy
    hide_rack
    front = boot(app: HELLO, ruby: ["--disable-gems"])
    assert_equal 'cannot load rack: add gem "rack" to the Gemfile', front.message[2]
  end

  def test_a_reason_of_any_length_is_cut_to_a_packet
    front = boot(app: "raise 'x' * 1_000_000")
    assert_operator front.message[2].bytesize, :<=, 64 * 1024
  end

  # --- settings ---

  def test_the_rackup_may_be_any_file
    front = boot(files: { "other/app.ru" => HELLO }, rackup: "other/app.ru")
    assert_equal "R", front.message[0]
    assert_equal "hello", front.get.body
  end

  def test_directories_to_include_come_first
    front = boot(app: "require 'set/my_own'; run ->(env) { [200, {}, [MINE]] }", include: "lib:more",
                 files: { "more/set/my_own.rb" => "MINE = 'mine'" })
    assert_equal "R", front.message[0]
    assert_equal "mine", front.get.body
  end

  def test_the_process_has_a_title
    front = serve(HELLO, index: 3, tag: "shop")
    assert_match(/\Aserval: worker 3 \[shop\]/, File.read("/proc/#{front.pid}/cmdline"))
  end

  # --- bundles ---

  def test_a_bundle_is_set_up_before_the_app
    front = boot(app: "run ->(env) { [200, {}, [ENV['BUNDLE_GEMFILE'], defined?(Bundler).to_s]] }",
                 files: { "Gemfile" => "gem 'rack'\n" }, bundle_gemfile: "Gemfile")
    assert_equal "R", front.message[0]
    assert_match(/Gemfileconstant/, front.get.body)
  end

  def test_a_bundle_that_is_set_up_already_is_left_alone
    files = { "Gemfile" => "gem 'rack'\n", "other/Gemfile" => "raise 'not this one'" }
    env = { "RUBYOPT" => "-rbundler/setup", "BUNDLE_GEMFILE" => "Gemfile", "BUNDLE_SILENCE_DEPRECATIONS" => "1" }
    app = "run ->(env) { [200, {}, [ENV['BUNDLE_GEMFILE']]] }"
    front = boot(app: app, files: files, env: env, bundle_gemfile: "other/Gemfile")
    assert_equal "R", front.message[0]
    refute_match(/other/, front.get.body)
  end

  def test_a_bundle_that_lacks_a_gem_is_told_in_bundlers_words
    gemfile = "gem 'rack'\ngem 'no_such_gem_at_all'\n"
    front = boot(app: HELLO, files: { "Gemfile" => gemfile }, bundle_gemfile: "Gemfile")
    type, _, text = front.message
    assert_equal "E", type
    assert_match(/\ACould not find gem 'no_such_gem_at_all'/, text)
  end

  def test_a_bundle_without_rack_names_the_remedy
    hide_rack
    front = boot(app: HELLO, files: { "Gemfile" => "" }, bundle_gemfile: "Gemfile")
    assert_equal 'cannot load rack: add gem "rack" to the Gemfile', front.message[2]
  end

  def test_no_default_gem_is_taken_before_the_bundle_is_set_up
    gemfile = "File.write('gems', Gem.loaded_specs.keys.join(' '))\ngem 'rack'\n"
    front = boot(app: HELLO, files: { "Gemfile" => gemfile }, bundle_gemfile: "Gemfile")
    assert_equal "R", front.message[0]
    ours = File.read(File.join(front.directory, "gems")).split
    script = "require 'bundler'; Bundler.setup"
    env = { "BUNDLE_SILENCE_DEPRECATIONS" => "1" }
    system(env, RbConfig.ruby, "-e", script, chdir: front.directory, exception: true)
    assert_equal File.read(File.join(front.directory, "gems")).split, ours
  end
end
