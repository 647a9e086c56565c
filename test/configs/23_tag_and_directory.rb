tag 'blog'
directory '/tmp'
