workers 2
fork_worker
