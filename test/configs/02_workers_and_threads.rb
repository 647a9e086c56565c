# serval: preload=true
workers 3
threads 2, 7
