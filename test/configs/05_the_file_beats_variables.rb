# serval: preload=false
# env: WEB_CONCURRENCY=4
# env: MAX_THREADS=6
# env: APP_ENV=staging
workers 1
threads 2, 2
environment 'production'
