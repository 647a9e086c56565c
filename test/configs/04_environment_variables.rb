# serval: preload=true
# env: WEB_CONCURRENCY=4
# env: MIN_THREADS=3
# env: MAX_THREADS=6
# env: RACK_ENV=staging
