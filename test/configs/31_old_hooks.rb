before_fork { }
on_worker_fork { |index| index }
after_worker_fork { |index| index }
after_worker_boot { |index| index }
on_worker_boot { |index| index }
on_worker_boot { |index| -index }
on_worker_shutdown { |index| index }
on_refork { }
on_restart { |launcher| launcher }
out_of_band { }
