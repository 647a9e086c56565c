# frozen_string_literal: true

module Serval
  class Configuration
    # Blocks that run later: the hooks, under all names that Puma has had for them, and the handler of the last resort.
    module Blocks
      (Hooks::PLACES.keys.map { |name| [name, name] } + Hooks::ALIASES.to_a).each do |written, name|
        if Hooks::KEYED.include?(name)
          # key: blocks with the same key share a hash, which they get as their last argument.
          define_method(written) { |key = nil, &block| @configuration.add_hook(name, key, written, block) }
        else
          define_method(written) { |&block| @configuration.add_hook(name, nil, written, block) }
        end
      end

      # Makes the response when the app raises. Takes the exception, and the env and the status if it wants them.
      def lowlevel_error_handler(object = nil, &block)
        @configuration.keep(:lowlevel_error_handler, callable(:lowlevel_error_handler, object, block))
      end
    end
  end
end
