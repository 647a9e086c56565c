max_fast_inline Float::INFINITY
