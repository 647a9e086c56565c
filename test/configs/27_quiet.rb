log_requests true
quiet
