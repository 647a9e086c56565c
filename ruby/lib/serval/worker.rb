# frozen_string_literal: true

# The doorway of a worker process: `ruby worker.rb`, started by the front with the descriptors 3 to 6 that
# docs/reference/wire.md names and its settings in the environment variable SERVAL_WORKER.
#
# Until the app's bundle is set up nothing here may require a default gem (stringio, json, io-wait and so socket):
# that would activate the version which came with Ruby, and Bundler refuses to go on when the lockfile names another.

require_relative "settings"
require_relative "boot"
require_relative "offspring"

Serval::Offspring.live(-> { Serval::Boot.run(Serval::Settings.take(ENV)) })
