# frozen_string_literal: true

# Times and sizes as .pill files write them: 30.seconds, 100.megabytes. Bluepill has them from ActiveSupport; here they are
# plain numbers, of seconds and of bytes.
class Numeric
  {
    second: 1, minute: 60, hour: 3600, day: 86_400, week: 604_800, fortnight: 1_209_600,
    byte: 1, kilobyte: 1024, megabyte: 1024**2, gigabyte: 1024**3, terabyte: 1024**4
  }.each do |unit, size|
    define_method(unit) { self * size }
    alias_method("#{unit}s", unit)
  end
end
