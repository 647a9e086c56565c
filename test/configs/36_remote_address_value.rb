set_remote_address '192.0.2.1'
rack_url_scheme 'https'
