# puma: 8
# serval: workers=2
# serval: threads=3:3
# serval: tag=cluster
workers 2
threads 3
cluster { tag 'cluster' }
single { tag 'single' }
