package tlsconfig

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// stored begins the name of a text that stands in the configuration file (Puma's cert_pem and key_pem).
const stored = "store:"

// Config is the configuration of TLS for an address, and where it came from. It can be read anew while connections are made.
type Config struct {
	options Options
	store   []string
	now     atomic.Pointer[tls.Config]

	mu    sync.Mutex // guards following
	files []stamp    // as they were when they were last looked at
	bad   error      // why they could not be used then
}

// stamp is what tells whether a file has changed.
type stamp struct {
	path string
	size int64
	time time.Time
	file fs.FileInfo
}

// Load reads the files that the options name. store are the texts of the configuration file.
func Load(o Options, store []string) (*Config, error) {
	c := &Config{options: o, store: store}
	c.files = c.look()
	made, err := c.make()
	if err != nil {
		return nil, err
	}
	c.now.Store(made)
	return c, nil
}

// TLS is the configuration to make connections with.
func (c *Config) TLS() *tls.Config { return c.now.Load() }

// Renew looks whether the files have changed, and reads them if so. When they cannot be used, the configuration stays what it
// was, and the error says why; it is said once, when they have not changed between two looks: a certificate and its key are
// replaced one after the other.
func (c *Config) Renew() (renewed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	files := c.look()
	changed := !alike(files, c.files)
	c.files = files
	if !changed {
		err, c.bad = c.bad, nil
		return false, err
	}
	made, err := c.make()
	if err != nil {
		c.bad = err
		return false, nil
	}
	c.bad = nil
	c.now.Store(made)
	return true, nil
}

// Notices are sentences about what an operator should know of it.
func (c *Config) Notices() []string {
	notices := c.options.Ignored
	if end := c.Expires(); time.Now().After(end) {
		notices = append(slices.Clip(notices), fmt.Sprintf("the certificate %s expired on %s, and clients refuse it: renew it", c.options.Cert, end.Format(time.DateOnly)))
	}
	return notices
}

// Expires is when the certificate does.
func (c *Config) Expires() time.Time { return c.TLS().Certificates[0].Leaf.NotAfter }

func (c *Config) look() []stamp {
	var files []stamp
	for _, path := range []string{c.options.Cert, c.options.Key, c.options.CA} {
		if path == "" || strings.HasPrefix(path, stored) {
			continue
		}
		s := stamp{path: path}
		if info, err := os.Stat(path); err == nil {
			s.size, s.time, s.file = info.Size(), info.ModTime(), info
		}
		files = append(files, s)
	}
	return files
}

func alike(a, b []stamp) bool {
	for i := range a {
		if a[i].size != b[i].size || !a[i].time.Equal(b[i].time) || (a[i].file == nil) != (b[i].file == nil) ||
			a[i].file != nil && !os.SameFile(a[i].file, b[i].file) {
			return false
		}
	}
	return true
}

func (c *Config) make() (*tls.Config, error) {
	o := &c.options
	switch {
	case o.SelfSigned():
		return nil, errors.New("it needs a certificate and its key: add cert=PATH and key=PATH; for development, add the gem localhost to the Gemfile, which makes them")
	case o.Cert == "":
		return nil, errors.New("the certificate is missing: add cert=PATH")
	case o.Key == "":
		return nil, errors.New("the key of the certificate is missing: add key=PATH")
	}
	pair, err := c.pair()
	if err != nil {
		return nil, err
	}
	t := &tls.Config{
		Certificates: []tls.Certificate{pair},
		NextProtos:   []string{"http/1.1"},
		MinVersion:   o.minVersion(),
		ClientAuth:   map[string]tls.ClientAuthType{"peer": tls.VerifyClientCertIfGiven, "force_peer": tls.RequireAndVerifyClientCert}[o.VerifyMode],
	}
	if o.CipherFilter != "" {
		if t.CipherSuites, err = Ciphers(o.CipherFilter); err != nil {
			return nil, err
		}
	}
	if t.ClientAuth != tls.NoClientCert {
		if t.ClientCAs, err = roots(o.CA); err != nil {
			return nil, err
		}
	}
	if o.ReuseTimeout > 0 {
		limitReuse(t, o.ReuseTimeout)
	}
	return t, nil
}

// minVersion is TLS 1.2, as it is for Puma with the OpenSSL of today's distributions. Who says in so many words that an older
// version is to be spoken gets it.
func (o *Options) minVersion() uint16 {
	switch {
	case o.NoTLSv1 == "false" && o.NoTLSv11 != "true":
		return tls.VersionTLS10
	case o.NoTLSv11 == "false":
		return tls.VersionTLS11
	}
	return tls.VersionTLS12
}

// pair reads the certificate and its key.
func (c *Config) pair() (tls.Certificate, error) {
	o := &c.options
	certText, err := c.text("certificate", o.Cert)
	if err != nil {
		return tls.Certificate{}, err
	}
	keyText, err := c.text("key", o.Key)
	if err != nil {
		return tls.Certificate{}, err
	}
	if err := checkCertificate(o.Cert, certText); err != nil {
		return tls.Certificate{}, err
	}
	if keyText, err = openKey(o.Key, keyText, o.KeyPasswordCommand); err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(certText, keyText)
	switch {
	case err != nil && strings.Contains(err.Error(), "does not match"):
		return pair, fmt.Errorf("the key %s is not that of the certificate %s: name those that were made together", o.Key, o.Cert)
	case err != nil && strings.Contains(err.Error(), "parse private key"):
		return pair, fmt.Errorf("the key in %s cannot be read: it is broken, or no key of a certificate", o.Key)
	case err != nil:
		return pair, fmt.Errorf("the certificate %s and the key %s cannot be used: %w; name those that were made together", o.Cert, o.Key, err)
	}
	return pair, nil
}

// checkCertificate says what is wrong with a certificate before it is said of a pair.
func checkCertificate(name string, text []byte) error {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return fmt.Errorf("%s holds no certificate: it has to have a PEM block that begins with -----BEGIN CERTIFICATE-----", name)
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("the certificate in %s cannot be read: %w; get a new one", name, err)
		}
		return nil
	}
}

// text is what a file holds, or the store.
func (c *Config) text(what, path string) ([]byte, error) {
	if number, isStored := strings.CutPrefix(path, stored); isStored {
		if i, err := strconv.Atoi(number); err == nil && i >= 0 && i < len(c.store) {
			return []byte(c.store[i]), nil
		}
		return nil, fmt.Errorf("there is no %s at %s: write %s_pem in the configuration file", what, path, map[string]string{"certificate": "cert", "key": "key"}[what])
	}
	return readFile(what, path)
}

const maxFile = 4 << 20 // bytes; a bundle of all public roots is a fifth of that

func readFile(what, path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("the %s %s is not a file: name one in PEM format", what, path)
	}
	if err == nil && info.Size() > maxFile {
		return nil, fmt.Errorf("the %s %s has %d bytes: that is no PEM file of a %s", what, path, info.Size(), what)
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("the %s %s is not there: correct the path", what, path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("the %s %s may not be read by this user: let it, by chgrp and chmod g+r", what, path)
	case err != nil:
		return nil, fmt.Errorf("the %s %s cannot be read: %w", what, path, err)
	}
	return text, nil
}

// roots reads the certificates that clients' certificates have to come from.
func roots(path string) (*x509.CertPool, error) {
	text, err := readFile("ca", path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("the ca %s holds no certificate: name a PEM file with the roots of clients' certificates", path)
	}
	return pool, nil
}

// limitReuse has sessions end: when they were made travels with them, in the encrypted ticket.
func limitReuse(t *tls.Config, timeout time.Duration) {
	t.WrapSession = func(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) {
		ss.Extra = append(ss.Extra, binary.BigEndian.AppendUint64(nil, uint64(time.Now().Unix())))
		return t.EncryptTicket(cs, ss)
	}
	t.UnwrapSession = func(identity []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		ss, err := t.DecryptTicket(identity, cs)
		if err != nil || ss == nil || len(ss.Extra) == 0 || len(ss.Extra[0]) != 8 {
			return nil, err
		}
		made := time.Unix(int64(binary.BigEndian.Uint64(ss.Extra[0])), 0)
		if time.Since(made) > timeout {
			return nil, nil // a full handshake then
		}
		ss.Extra = ss.Extra[:0] // it is added again
		return ss, nil
	}
}
