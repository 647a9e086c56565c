# puma: 8
# serval: http-methods=any
supported_http_methods :any
