# serval: preload=true
# env: WEB_CONCURRENCY=3
threads 1, 1
