tag 'loaded'
workers 2
