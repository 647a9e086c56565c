workers 2
preload_app!
