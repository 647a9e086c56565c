log_requests
log_formatter { |line| "[app] #{line}" }
