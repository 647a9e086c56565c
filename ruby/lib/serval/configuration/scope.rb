# frozen_string_literal: true

require_relative "dsl"

# Evaluates the text of a configuration file. Written outside of all modules: a file sees the constants of the place it is
# evaluated in, and Settings or Log in it are the app's and not Serval's.
Serval::Configuration::EVALUATE = lambda do |dsl, text, path|
  dsl.instance_eval(text, path, 1)
end
Serval::Configuration.private_constant :EVALUATE
