threads 2, 3
inject { tag 'injected' }
set_default_host('127.0.0.1') if get(:max_threads) == 3
port get(:nothing, 3011)
