# puma: 8
# serval: tag=single
cluster { tag 'cluster' }
single { tag 'single' }
