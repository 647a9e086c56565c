// Package tlsconfig is what an ssl:// address says about TLS: its parameters, which are Puma's, and the configuration for
// crypto/tls that is made of them and of the files they name.
package tlsconfig

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options are the parameters of an ssl:// address. The zero value of each means what Puma does without it.
type Options struct {
	Cert string // path of a PEM file: the certificate, and those between it and the root; "store:N" is text of the configuration file
	Key  string // path of a PEM file, or "store:N"
	CA   string // path of a PEM file with the roots of clients' certificates

	KeyPasswordCommand string // prints the password of the key; run by a shell (Puma 6.3)

	VerifyMode   string   // "none", "peer" or "force_peer"; empty: none
	VerifyFlags  []string // OpenSSL's names, without X509_V_FLAG_
	CipherFilter string   // OpenSSL's cipher list, for TLS 1.2 and below; empty: crypto/tls' choice
	NoTLSv1      string   // "true", "false", or empty
	NoTLSv11     string   // the same

	ReuseTimeout time.Duration // how long a session can be resumed; 0: as long as crypto/tls lets it, a week

	Ignored []string // sentences about parameters that have no meaning here
}

// Names are the parameters that Parse knows, for people.
const Names = "cert, key, key_password_command, ca, verify_mode, verification_flags, ssl_cipher_filter, ssl_ciphersuites, no_tlsv1, no_tlsv1_1 and reuse"

// Parse takes the parameters it knows out of those of an address. Nothing is read yet.
func Parse(params url.Values) (*Options, error) {
	o := &Options{VerifyMode: "none"}
	texts := map[string]*string{
		"cert": &o.Cert, "key": &o.Key, "ca": &o.CA, "key_password_command": &o.KeyPasswordCommand,
		"ssl_cipher_filter": &o.CipherFilter,
	}
	setters := map[string]func(string) error{
		"verify_mode":        o.setVerifyMode,
		"verification_flags": o.setVerifyFlags,
		"no_tlsv1":           boolean(&o.NoTLSv1),
		"no_tlsv1_1":         boolean(&o.NoTLSv11),
		"reuse":              o.setReuse,
		"ssl_ciphersuites": func(string) error {
			o.ignore("ssl_ciphersuites", "all three suites of TLS 1.3 are offered, and both sides choose among them")
			return nil
		},
	}
	for _, name := range jruby {
		setters[name] = func(string) error {
			o.ignore(name, "it is for JRuby; cert and key name PEM files here")
			return nil
		}
	}
	for _, name := range sortedNames(params) {
		for _, value := range params[name] {
			if text := texts[name]; text != nil {
				*text = value
				continue
			}
			set := setters[name]
			if set == nil {
				continue
			}
			if err := set(value); err != nil {
				return nil, fmt.Errorf("%s %w, not %q", name, err, value)
			}
		}
		if texts[name] != nil || setters[name] != nil {
			delete(params, name)
		}
	}
	return o, o.check()
}

// jruby are Puma's parameters for JRuby, which keeps certificates in stores of Java's.
var jruby = []string{"keystore", "keystore-pass", "keystore-type", "truststore", "truststore-pass", "truststore-type", "ssl_cipher_list", "cipher_suites", "protocols"}

func sortedNames(params url.Values) []string {
	names := make([]string, 0, len(params))
	for name := range params {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (o *Options) ignore(name, why string) {
	o.Ignored = append(o.Ignored, name+" has no effect: "+why)
}

// check refuses what does not go together.
func (o *Options) check() error {
	if o.VerifyMode != "none" && o.CA == "" {
		return fmt.Errorf("verify_mode=%s needs to know whose certificates are good: add ca=PATH", o.VerifyMode)
	}
	if o.KeyPasswordCommand != "" && o.Key == "" {
		return errors.New("key_password_command is for a key: add key=PATH")
	}
	return nil
}

func (o *Options) setVerifyMode(value string) error {
	if !slices.Contains([]string{"none", "peer", "force_peer"}, value) {
		return errors.New("must be none, peer or force_peer")
	}
	o.VerifyMode = value
	return nil
}

func boolean(to *string) func(string) error {
	return func(value string) error {
		if value != "true" && value != "false" {
			return errors.New("must be true or false")
		}
		*to = value
		return nil
	}
}

// Flags of OpenSSL for the verification of clients' certificates (Puma 5.2).
const (
	always  = iota // what Go does anyway
	lenient        // it lets more through than Go does
	strict         // it lets less through: to leave it out would let in whom nobody wants
)

var verifyFlags = map[string]int{
	"USE_CHECK_TIME": always, "TRUSTED_FIRST": always, "PARTIAL_CHAIN": always, "NOTIFY_POLICY": always, "EXTENDED_CRL_SUPPORT": always, "USE_DELTAS": always,
	"IGNORE_CRITICAL": lenient, "ALLOW_PROXY_CERTS": lenient, "NO_ALT_CHAINS": lenient, "NO_CHECK_TIME": lenient,
	"CRL_CHECK": strict, "CRL_CHECK_ALL": strict, "X509_STRICT": strict, "POLICY_CHECK": strict, "EXPLICIT_POLICY": strict, "INHIBIT_ANY": strict,
	"INHIBIT_MAP": strict, "CHECK_SS_SIGNATURE": strict, "SUITEB_128_LOS_ONLY": strict, "SUITEB_192_LOS": strict, "SUITEB_128_LOS": strict,
}

func (o *Options) setVerifyFlags(value string) error {
	for flag := range strings.SplitSeq(value, ",") {
		kind, known := verifyFlags[flag]
		switch {
		case !known:
			return fmt.Errorf("knows no flag called %q: write OpenSSL's names, as PARTIAL_CHAIN", flag)
		case kind == strict:
			return fmt.Errorf("asks for %s, which Serval cannot check: clients would get in that are to stay out; leave it out, or put a proxy in front that can", flag)
		case kind == lenient:
			o.ignore("verification_flags "+flag, "certificates that need it are refused")
		default:
			o.ignore("verification_flags "+flag, "it is always so")
		}
	}
	return nil
}

// setReuse takes Puma's "dflt", "SIZE", "SIZE,TIMEOUT" or ",TIMEOUT". Sessions are kept by clients (RFC 8446 §2.2, RFC 5077), so
// there is no cache whose size could be set.
func (o *Options) setReuse(value string) error {
	if value == "dflt" || value == "true" {
		return nil
	}
	size, timeout, _ := strings.Cut(value, ",")
	if size != "" {
		if _, err := strconv.ParseUint(size, 10, 31); err != nil {
			return errors.New("must be dflt, or a size and a timeout in seconds, as 20480,600")
		}
		o.ignore("reuse="+size, "clients keep their sessions themselves, in any number")
	}
	if timeout != "" {
		seconds, err := strconv.ParseUint(timeout, 10, 31)
		if err != nil || seconds == 0 {
			return errors.New("must be dflt, or a size and a timeout in seconds, as 20480,600")
		}
		o.ReuseTimeout = time.Duration(seconds) * time.Second
	}
	return nil
}

// SelfSigned says that neither a certificate nor a key is named: Puma takes those of the gem localhost then.
func (o *Options) SelfSigned() bool { return o.Cert == "" && o.Key == "" }

// From makes relative paths count from dir.
func (o *Options) From(dir string) {
	for _, path := range []*string{&o.Cert, &o.Key, &o.CA} {
		if *path != "" && !filepath.IsAbs(*path) && !strings.HasPrefix(*path, stored) {
			*path = filepath.Join(dir, *path)
		}
	}
}
