workers '2'
threads '1', '4'
worker_timeout '90'
port '3001'
