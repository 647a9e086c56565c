# frozen_string_literal: true

# What plugins for Puma need of it: the app's own Puma when there is one, since they may use any part of it, and otherwise
# as much as makes them load. Only read when a configuration names such a plugin: an app that looks for Puma, to learn
# which server it runs in, should not find what is not there.
begin
  require "puma"
  require "puma/plugin"
rescue LoadError
  $LOAD_PATH.push("#{__dir__}/shim") # last, so that it hides nothing
  require "puma"
  require "puma/plugin"
end
