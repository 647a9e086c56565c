# Does not load: a constant is missing, on line 4.
# frozen_string_literal: true

run NoSuchApp.new
