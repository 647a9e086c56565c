# Puma 5 takes the time it keeps an idle connection from a file only. Used where idle connections are measured.
# frozen_string_literal: true

persistent_timeout 600
