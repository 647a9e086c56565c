# frozen_string_literal: true

# The doorway of a mold process: `ruby mold.rb`, started by the front with its control socket as descriptor 4 and its
# settings in the environment variable SERVAL_WORKER (docs/reference/wire.md).
#
# As in worker.rb, nothing may require a default gem until the bundle is set up.

require_relative "settings"
require_relative "boot"
require_relative "foundry"

Serval::Offspring.live(-> { Serval::Foundry.start(Serval::Settings.take(ENV, role: "mold")) })
