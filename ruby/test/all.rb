# frozen_string_literal: true

# Runs every test of the worker: ruby ruby/test/all.rb [minitest options]
Dir[File.join(__dir__, "*_test.rb")].sort.each { |file| require file }
