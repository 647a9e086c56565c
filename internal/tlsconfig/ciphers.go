package tlsconfig

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
)

// suite is one of crypto/tls' suites for TLS 1.2 and below, with the words by which OpenSSL's lists select it.
type suite struct {
	id    uint16
	name  string // OpenSSL's
	words string // of openssl-ciphers(1), without HIGH and MEDIUM
}

var suites = []suite{
	{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "ECDHE-ECDSA-AES256-GCM-SHA384", "kECDHE kEECDH ECDHE EECDH aECDSA ECDSA AES256 AES AESGCM TLSv1.2"},
	{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "ECDHE-RSA-AES256-GCM-SHA384", "kECDHE kEECDH ECDHE EECDH aRSA AES256 AES AESGCM TLSv1.2"},
	{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-ECDSA-CHACHA20-POLY1305", "kECDHE kEECDH ECDHE EECDH aECDSA ECDSA CHACHA20 TLSv1.2"},
	{tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-RSA-CHACHA20-POLY1305", "kECDHE kEECDH ECDHE EECDH aRSA CHACHA20 TLSv1.2"},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "ECDHE-ECDSA-AES128-GCM-SHA256", "kECDHE kEECDH ECDHE EECDH aECDSA ECDSA AES128 AES AESGCM TLSv1.2"},
	{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "ECDHE-RSA-AES128-GCM-SHA256", "kECDHE kEECDH ECDHE EECDH aRSA AES128 AES AESGCM TLSv1.2"},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, "ECDHE-ECDSA-AES128-SHA256", "kECDHE kEECDH ECDHE EECDH aECDSA ECDSA AES128 AES SHA256 TLSv1.2"},
	{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256, "ECDHE-RSA-AES128-SHA256", "kECDHE kEECDH ECDHE EECDH aRSA AES128 AES SHA256 TLSv1.2"},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, "ECDHE-ECDSA-AES256-SHA", "kECDHE kEECDH ECDHE EECDH aECDSA ECDSA AES256 AES SHA SHA1 TLSv1 TLSv1.0"},
	{tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, "ECDHE-RSA-AES256-SHA", "kECDHE kEECDH ECDHE EECDH aRSA AES256 AES SHA SHA1 TLSv1 TLSv1.0"},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, "ECDHE-ECDSA-AES128-SHA", "kECDHE kEECDH ECDHE EECDH aECDSA ECDSA AES128 AES SHA SHA1 TLSv1 TLSv1.0"},
	{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, "ECDHE-RSA-AES128-SHA", "kECDHE kEECDH ECDHE EECDH aRSA AES128 AES SHA SHA1 TLSv1 TLSv1.0"},
	{tls.TLS_RSA_WITH_AES_256_GCM_SHA384, "AES256-GCM-SHA384", "kRSA RSA aRSA AES256 AES AESGCM TLSv1.2"},
	{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, "AES128-GCM-SHA256", "kRSA RSA aRSA AES128 AES AESGCM TLSv1.2"},
	{tls.TLS_RSA_WITH_AES_128_CBC_SHA256, "AES128-SHA256", "kRSA RSA aRSA AES128 AES SHA256 TLSv1.2"},
	{tls.TLS_RSA_WITH_AES_256_CBC_SHA, "AES256-SHA", "kRSA RSA aRSA AES256 AES SHA SHA1 SSLv3"},
	{tls.TLS_RSA_WITH_AES_128_CBC_SHA, "AES128-SHA", "kRSA RSA aRSA AES128 AES SHA SHA1 SSLv3"},
}

// everything are words that select all of the suites above: OpenSSL counts them among HIGH.
var everything = map[string]bool{"HIGH": true, "ALL": true, "DEFAULT": true}

// Ciphers finds the suites that OpenSSL's cipher list (openssl-ciphers(1)) selects, as far as crypto/tls has them. Their order
// is crypto/tls' affair. An error says that there is none.
func Ciphers(list string) ([]uint16, error) {
	var chosen, banned []uint16
	for word := range strings.FieldsFuncSeq(list, func(r rune) bool { return strings.ContainsRune(": ,;", r) }) {
		word, _, strength := strings.Cut(word, "@") // HIGH@STRENGTH, @SECLEVEL=2
		if word == "" && strength {
			continue
		}
		operator := word[:1]
		if !strings.Contains("!-+", operator) {
			operator = ""
		}
		for _, id := range selected(strings.TrimPrefix(word, operator)) {
			switch operator {
			case "!":
				banned = append(banned, id)
			case "-":
				chosen = slices.DeleteFunc(chosen, func(other uint16) bool { return other == id })
			case "":
				if !slices.Contains(chosen, id) {
					chosen = append(chosen, id)
				}
			}
		}
	}
	chosen = slices.DeleteFunc(chosen, func(id uint16) bool { return slices.Contains(banned, id) })
	if len(chosen) == 0 {
		return nil, fmt.Errorf("ssl_cipher_filter=%s leaves no cipher that Serval has: name some of %s", list, strings.Join(names(), ", "))
	}
	return chosen, nil
}

// selected are the suites that a word of a list stands for: a name, or words joined by +, which all have to hold.
func selected(word string) (ids []uint16) {
	for _, s := range suites {
		words := strings.Fields(s.words)
		fits := s.name == word
		if !fits {
			fits = !slices.ContainsFunc(strings.Split(word, "+"), func(part string) bool {
				return !everything[part] && !slices.Contains(words, part)
			})
		}
		if fits {
			ids = append(ids, s.id)
		}
	}
	return ids
}

func names() []string {
	all := make([]string, len(suites))
	for i, s := range suites {
		all[i] = s.name
	}
	return all
}
