# frozen_string_literal: true

module Serval
  # The certificates of clients, as objects. A client's is the same on each of its requests, and reading one takes longer than
  # many a request.
  module PeerCertificates
    MOST = 256 # that are remembered

    @known = {}
    @lock = Mutex.new

    module_function

    # text: the certificate in DER, as base64.
    def [](text)
      @lock.synchronize { @known[text] ||= remember(text) }
    end

    def remember(text)
      require "openssl" # not before there is one: most apps never see any, and the bundle may have its own
      @known.clear if @known.size >= MOST
      OpenSSL::X509::Certificate.new(text.unpack1("m"))
    end
    private_class_method :remember
  end
end
