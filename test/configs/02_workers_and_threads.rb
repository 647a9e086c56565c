workers 3
threads 2, 7
