# puma: 8
# serval: idle-timeout=120
# serval: max-keepalive=77
# serval: max-body=1048576
# serval: http-methods=GET,POST
# serval: no-underscore-headers=true
# serval: keepalive-timeout=0
idle_timeout 120
max_keep_alive 77
http_content_length_limit 1024 * 1024
supported_http_methods %w[GET POST]
allow_underscore_headers false
enable_keep_alives false
persistent_timeout 40
