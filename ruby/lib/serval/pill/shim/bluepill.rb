# frozen_string_literal: true

# .pill files begin with require "bluepill". Everything they need is there already.
