package tlsconfig

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// openssl runs the program that operators make certificates with.
func openssl(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command("openssl", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// certificate makes a certificate and its key, and returns the paths of both.
func certificate(t testing.TB, dir, name string, more ...string) (cert, key string) {
	t.Helper()
	cert, key = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	openssl(t, append([]string{"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=" + name,
		"-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert}, more...)...)
	return cert, key
}

func parse(t testing.TB, query string) *Options {
	t.Helper()
	params, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	o, err := Parse(params)
	if err != nil {
		t.Fatal(err)
	}
	if len(params) > 0 {
		t.Errorf("of %s is left %v", query, params)
	}
	return o
}

// shake connects a client to a server, and returns what both know of each other.
func shake(server, client *tls.Config) (theirs, ours tls.ConnectionState, err error) {
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	s, c := tls.Server(here, server), tls.Client(there, client)
	failed := make(chan error, 1)
	go func() {
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte{0}) // the tickets go before it
		} else {
			here.Close()
		}
		failed <- err
	}()
	if err = c.Handshake(); err == nil {
		_, err = c.Read(make([]byte, 1))
	} else {
		there.Close()
	}
	if other := <-failed; other != nil {
		err = other
	}
	return s.ConnectionState(), c.ConnectionState(), err
}

func TestACertificateAndItsKeyAreServed(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir, "one")
	o := parse(t, url.Values{"cert": {"one.crt"}, "key": {key}}.Encode())
	o.From(dir)
	c, err := Load(*o, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	keyText, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	client := &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"h2", "http/1.1"}}
	_, state, err := shake(c.TLS(), client)
	if err != nil || state.Version != tls.VersionTLS13 || state.NegotiatedProtocol != "http/1.1" {
		t.Errorf("have %x, %q, %v", state.Version, state.NegotiatedProtocol, err)
	}
	client.MaxVersion = tls.VersionTLS11
	client.MinVersion = tls.VersionTLS10
	if _, _, err := shake(c.TLS(), client); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	// Texts of the configuration file do as well.
	stored, err := Load(*parse(t, "cert=store:1&key=store:0&no_tlsv1=false"), []string{string(keyText), string(text)})
	if err != nil {
		t.Fatal(err)
	}
	if _, state, err := shake(stored.TLS(), client); err != nil || state.Version != tls.VersionTLS11 {
		t.Errorf("TLS 1.1 was asked for: have %x, %v", state.Version, err)
	}
	if left := time.Until(c.Expires()); left < 29*24*time.Hour || left > 30*24*time.Hour || len(c.Notices()) > 0 {
		t.Errorf("it is good for %s, %q", left, c.Notices())
	}
}

func TestWhatCannotBeUsedIsNamedWithARemedy(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir, "a")
	_, other := certificate(t, dir, "b")
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	text, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	block.Bytes = block.Bytes[:len(block.Bytes)/2]
	broken := write("broken", string(pem.EncodeToMemory(block)))
	empty, garbage := write("empty", ""), write("garbage", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	encrypted := filepath.Join(dir, "encrypted")
	openssl(t, "pkcs8", "-topk8", "-in", key, "-out", encrypted, "-passout", "pass:secret")
	scrypt := filepath.Join(dir, "scrypt")
	openssl(t, "pkcs8", "-topk8", "-scrypt", "-in", key, "-out", scrypt, "-passout", "pass:secret")
	for name, test := range map[string]struct {
		o    Options
		want string
	}{
		"nothing":         {Options{}, "it needs a certificate and its key: add cert=PATH and key=PATH; for development, add the gem localhost to the Gemfile, which makes them"},
		"no key":          {Options{Cert: cert}, "the key of the certificate is missing: add key=PATH"},
		"no certificate":  {Options{Key: key}, "the certificate is missing: add cert=PATH"},
		"not there":       {Options{Cert: cert, Key: "/none"}, "the key /none is not there: correct the path"},
		"a directory":     {Options{Cert: dir, Key: key}, "the certificate " + dir + " is not a file: name one in PEM format"},
		"another's key":   {Options{Cert: cert, Key: other}, "the key " + other + " is not that of the certificate " + cert + ": name those that were made together"},
		"empty":           {Options{Cert: empty, Key: key}, empty + " holds no certificate: it has to have a PEM block that begins with -----BEGIN CERTIFICATE-----"},
		"garbage":         {Options{Cert: garbage, Key: key}, "the certificate in " + garbage + " cannot be read: "},
		"swapped":         {Options{Cert: key, Key: cert}, key + " holds no certificate: "},
		"no key in it":    {Options{Cert: cert, Key: cert}, cert + " holds no private key: it has to have a PEM block that begins with -----BEGIN PRIVATE KEY-----"},
		"broken key":      {Options{Cert: cert, Key: broken}, "the key in " + broken + " cannot be read: it is broken, or no key of a certificate"},
		"encrypted":       {Options{Cert: cert, Key: encrypted}, "the key " + encrypted + " is encrypted: say with key_password_command=COMMAND how to get its password"},
		"wrong password":  {Options{Cert: cert, Key: encrypted, KeyPasswordCommand: "echo guess"}, "the key " + encrypted + " cannot be opened with the password that key_password_command prints: correct one of them"},
		"no password":     {Options{Cert: cert, Key: encrypted, KeyPasswordCommand: "echo gone >&2; exit 3"}, "the password of the key " + encrypted + " is not known: key_password_command failed (exit status 3): gone"},
		"scrypt":          {Options{Cert: cert, Key: scrypt, KeyPasswordCommand: "echo secret"}, "the key " + scrypt + " cannot be opened: it is encrypted in a way that is not known here; write it anew by openssl pkcs8 -topk8 -v2 aes-256-cbc"},
		"no such text":    {Options{Cert: "store:7", Key: key}, "there is no certificate at store:7: write cert_pem in the configuration file"},
		"no roots":        {Options{Cert: cert, Key: key, VerifyMode: "peer", CA: empty}, "the ca " + empty + " holds no certificate: name a PEM file with the roots of clients' certificates"},
		"unknown ciphers": {Options{Cert: cert, Key: key, CipherFilter: "RC4:!aNULL"}, "ssl_cipher_filter=RC4:!aNULL leaves no cipher that Serval has: name some of ECDHE-ECDSA-AES256-GCM-SHA384, "},
	} {
		if _, err := Load(test.o, nil); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: %v\nwant %s", name, err, test.want)
		}
	}
}

func TestParametersThatDoNotGoTogetherAreRefused(t *testing.T) {
	for query, want := range map[string]string{
		"verify_mode=peer":                "verify_mode=peer needs to know whose certificates are good: add ca=PATH",
		"verify_mode=sometimes":           `verify_mode must be none, peer or force_peer, not "sometimes"`,
		"key_password_command=x":          "key_password_command is for a key: add key=PATH",
		"no_tlsv1=yes":                    `no_tlsv1 must be true or false, not "yes"`,
		"reuse=always":                    `reuse must be dflt, or a size and a timeout in seconds, as 20480,600, not "always"`,
		"reuse=1,0":                       `reuse must be dflt, or a size and a timeout in seconds, as 20480,600, not "1,0"`,
		"verification_flags=CRL_CHECK":    `verification_flags asks for CRL_CHECK, which Serval cannot check: clients would get in that are to stay out; leave it out, or put a proxy in front that can, not "CRL_CHECK"`,
		"verification_flags=PARTIAL,X":    `verification_flags knows no flag called "PARTIAL": write OpenSSL's names, as PARTIAL_CHAIN, not "PARTIAL,X"`,
		"verify_mode=force_peer&cert=a&c": "verify_mode=force_peer needs to know whose certificates are good: add ca=PATH",
	} {
		params, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(params); err == nil || err.Error() != want {
			t.Errorf("%s: %v\nwant %s", query, err, want)
		}
	}
}

func TestWhatHasNoMeaningIsSaid(t *testing.T) {
	o := parse(t, "ssl_ciphersuites=X&keystore=a.jks&keystore-pass=b&reuse=100,60&verification_flags=PARTIAL_CHAIN,NO_CHECK_TIME")
	for _, name := range []string{"ssl_ciphersuites", "keystore", "keystore-pass", "reuse=100", "verification_flags PARTIAL_CHAIN", "verification_flags NO_CHECK_TIME"} {
		if !slices.ContainsFunc(o.Ignored, func(s string) bool { return strings.HasPrefix(s, name+" has no effect: ") }) {
			t.Errorf("nothing is said of %s: %q", name, o.Ignored)
		}
	}
	if len(o.Ignored) != 6 || o.ReuseTimeout != time.Minute {
		t.Errorf("have %q, %s", o.Ignored, o.ReuseTimeout)
	}
}

// Every way in which OpenSSL writes an encrypted key that can be read here.
func TestEncryptedKeysAreOpened(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir, "plain")
	path := filepath.Join(dir, "encrypted.key")
	for _, args := range [][]string{
		{"pkcs8", "-topk8"},
		{"pkcs8", "-topk8", "-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA1"},
		{"pkcs8", "-topk8", "-v2", "aes-192-cbc", "-v2prf", "hmacWithSHA512", "-iter", "1000"},
		{"pkcs8", "-topk8", "-v2", "des3", "-v2prf", "hmacWithSHA384"},
		{"ec", "-aes256"}, // of before PKCS #8
	} {
		openssl(t, append(args, "-in", key, "-out", path, "-passout", "pass:pass word")...)
		c, err := Load(Options{Cert: cert, Key: path, KeyPasswordCommand: "printf 'pass %s\\n' word"}, nil)
		if err != nil {
			t.Errorf("%s: %v", args, err)
			continue
		}
		if _, _, err := shake(c.TLS(), &tls.Config{InsecureSkipVerify: true}); err != nil {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// OpenSSL itself says which suites a list selects.
func TestCipherListsMeanWhatTheyMeanToOpenSSL(t *testing.T) {
	for _, list := range []string{
		"HIGH", "HIGH:!aNULL@STRENGTH", "DEFAULT", "ALL", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:NONSENSE",
		"EECDH+AESGCM:EDH+AESGCM", "kEECDH+AESGCM", "ECDHE+AESGCM:!aECDSA", "HIGH:!kRSA", "HIGH:!SHA1:!SHA256:!SHA384", "AES256:-RSA", "HIGH:-AES:AES128+aRSA", "CHACHA20",
		"ALL:!aNULL:!ADH:!eNULL:!LOW:!EXP:!MD5:!RC4:+HIGH:+MEDIUM", "aRSA+SHA1", "TLSv1.2+AES128", "SSLv3", "AES256-SHA, AES128-SHA",
		"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384",
	} {
		var want []uint16
		for name := range strings.SplitSeq(strings.TrimSpace(openssl(t, "ciphers", "-s", "-tls1_2", list)), ":") {
			for _, s := range suites {
				if s.name == name {
					want = append(want, s.id)
				}
			}
		}
		have, err := Ciphers(list)
		slices.Sort(want)
		slices.Sort(have)
		if err != nil || !slices.Equal(have, want) {
			t.Errorf("%s selects %x, for OpenSSL %x: %v", list, have, want, err)
		}
	}
	dir := t.TempDir()
	cert, key := certificate(t, dir, "a")
	c, err := Load(Options{Cert: cert, Key: key, CipherFilter: "ECDHE-ECDSA-AES256-GCM-SHA384"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, state, err := shake(c.TLS(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
	if err != nil || state.CipherSuite != tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 {
		t.Errorf("spoken is %x, %v", state.CipherSuite, err)
	}
}

func TestClientsAreVerifiedAsAsked(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir, "server")
	ca, _ := certificate(t, dir, "known")
	certificate(t, dir, "stranger")
	known, err := tls.LoadX509KeyPair(filepath.Join(dir, "known.crt"), filepath.Join(dir, "known.key"))
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := tls.LoadX509KeyPair(filepath.Join(dir, "stranger.crt"), filepath.Join(dir, "stranger.key"))
	if err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[string][3]bool{"none": {true, true, true}, "peer": {true, true, false}, "force_peer": {false, true, false}} {
		c, err := Load(*parse(t, url.Values{"cert": {cert}, "key": {key}, "ca": {ca}, "verify_mode": {mode}}.Encode()), nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, who := range []*tls.Certificate{nil, &known, &stranger} {
			client := &tls.Config{InsecureSkipVerify: true}
			if who != nil {
				client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return who, nil }
			}
			state, _, err := shake(c.TLS(), client)
			if (err == nil) != want[i] {
				t.Errorf("%s, client %d: %v", mode, i, err)
			}
			if verified := err == nil && len(state.VerifiedChains) > 0; verified != (mode != "none" && i == 1) {
				t.Errorf("%s, client %d: verified %v", mode, i, verified)
			}
		}
	}
}

func TestSessionsAreResumedUntilTheirTimeout(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir, "a")
	for timeout, want := range map[time.Duration]bool{0: true, time.Hour: true, time.Nanosecond: false} {
		c, err := Load(Options{Cert: cert, Key: key, ReuseTimeout: timeout}, nil)
		if err != nil {
			t.Fatal(err)
		}
		client := &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		for i := range 3 {
			_, state, err := shake(c.TLS(), client)
			if err != nil || state.DidResume != (want && i > 0) {
				t.Errorf("timeout %s, connection %d: resumed %v, %v", timeout, i, state.DidResume, err)
			}
			if timeout == time.Nanosecond {
				time.Sleep(1100 * time.Millisecond) // tickets count in seconds
			}
		}
	}
}

func TestChangedFilesAreReadAnewAndBrokenOnesNot(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir, "a")
	certificate(t, dir, "b")
	c, err := Load(Options{Cert: cert, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	served := func() string { return c.TLS().Certificates[0].Leaf.Subject.CommonName }
	renew := func(want bool, says string) {
		t.Helper()
		renewed, err := c.Renew()
		if renewed != want || (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("renewed %v, %v", renewed, err)
		}
	}
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(filepath.Join(dir, from), to); err != nil {
			t.Fatal(err)
		}
	}
	renew(false, "")
	move("b.crt", cert)
	renew(false, "") // its key may be on its way
	if served() != "a" {
		t.Errorf("%s is served with another's key", served())
	}
	move("b.key", key)
	renew(true, "")
	renew(false, "")
	if served() != "b" {
		t.Errorf("%s is served", served())
	}
	if err := os.WriteFile(cert, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	renew(false, "")
	renew(false, "holds no certificate")
	renew(false, "")
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	renew(false, "")
	renew(false, "is not there")
	if served() != "b" {
		t.Errorf("%s is served", served())
	}
}

func TestAnExpiredCertificateIsNoticed(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir, "old")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	like := &x509.Certificate{SerialNumber: pair.Leaf.SerialNumber, Subject: pair.Leaf.Subject, NotAfter: time.Date(2024, 2, 29, 1, 2, 3, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, like, like, pair.Leaf.PublicKey, pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(Options{Cert: cert, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, want := c.Notices(), "the certificate "+cert+" expired on 2024-02-29, and clients refuse it: renew it"; len(n) != 1 || n[0] != want {
		t.Errorf("have %q, want %q", n, want)
	}
}

// What a file of a key holds must not bring the server down, whatever it is.
func FuzzEncryptedKey(f *testing.F) {
	dir := f.TempDir()
	_, key := certificate(f, dir, "a")
	path := filepath.Join(dir, "encrypted")
	openssl(f, "pkcs8", "-topk8", "-in", key, "-out", path, "-passout", "pass:x", "-iter", "1")
	text, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	block, _ := pem.Decode(text)
	f.Add(block.Bytes)
	f.Fuzz(func(t *testing.T, der []byte) {
		if len(der) > 1000 {
			return
		}
		plain, err := decryptPKCS8(der, []byte("x"))
		if err == nil && len(plain) == 0 {
			t.Error("nothing was taken for a key")
		}
	})
}
