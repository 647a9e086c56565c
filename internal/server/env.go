package server

import (
	"bytes"
	"strconv"
	"time"

	"serval/internal/http1"
	"serval/internal/wire"
)

// encoder turns a parsed request into a REQUEST frame: which env keys a request has is decided here, and Ruby only puts
// them into a hash. One encoder serves all connections; it holds nothing of a request.
type encoder struct {
	keys *wire.Keys

	methods   map[string]wire.Key // REQUEST_METHOD=GET and so on
	method    wire.Key
	uri       wire.Key
	path      wire.Key
	query     wire.Key
	noQuery   wire.Key
	protocol  [2]wire.Key
	name      wire.Key
	port      wire.Key
	remote    wire.Key
	host      wire.Key
	schemes   map[string]wire.Key
	requestID wire.Key
	bodyWait  wire.Key
	length    wire.Key
	https     wire.Key
	peer      wire.Key
}

func newEncoder() *encoder {
	k := wire.NewKeys()
	e := &encoder{
		keys:    k,
		methods: map[string]wire.Key{}, schemes: map[string]wire.Key{},
		method: k.Must("REQUEST_METHOD"), uri: k.Must("REQUEST_URI"), path: k.Must("PATH_INFO"),
		query: k.Must("QUERY_STRING"), noQuery: k.Must("QUERY_STRING="),
		protocol: [2]wire.Key{k.Must("SERVER_PROTOCOL=HTTP/1.0"), k.Must("SERVER_PROTOCOL=HTTP/1.1")},
		name:     k.Must("SERVER_NAME"), port: k.Must("SERVER_PORT"), remote: k.Must("REMOTE_ADDR"),
		host: k.Must("HTTP_HOST"), requestID: k.Must("HTTP_X_REQUEST_ID"),
		bodyWait: k.Must("serval.body_wait_ms"), length: k.Must("CONTENT_LENGTH"),
		https: k.Must("HTTPS=https"), peer: k.Must("puma.peercert"), // as Puma
	}
	for _, m := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		e.methods[m] = k.Must("REQUEST_METHOD=" + m)
	}
	for _, s := range []string{"http", "https"} {
		e.schemes[s] = k.Must("rack.url_scheme=" + s)
	}
	return e
}

// meta is what of a request does not stand in its head.
type meta struct {
	remote   []byte
	bodySize int64         // of the decoded body; -1: there is none
	bodyWait time.Duration // from the end of the head to the end of the body
	body     []byte        // inline
	file     bool          // the body travels as a file
	id       []byte        // the request's id, in place of what the client sent; nil: that stays as it is
	scheme   string        // http or https, whatever the connection is; empty: what it is
	tunnel   *tunnel       // the connection's TLS; nil: none

	hideUnderscores bool // headers with an underscore in their name do not reach the app
}

// encode writes the frame of the request whose head is parsed in h and stands in buf.
func (e *encoder) encode(b *wire.Builder, h *http1.Request, buf []byte, m *meta) {
	b.Start()
	if key, ok := e.methods[string(h.Method.In(buf))]; ok {
		b.Const(key)
	} else {
		b.Add(e.method, h.Method.In(buf))
	}
	b.Add(e.uri, h.Target.In(buf))
	if h.Path.Empty() {
		b.Add(e.path, slash) // "http://host" (RFC 9110 §4.2.3)
	} else {
		b.Add(e.path, h.Path.In(buf))
	}
	if h.Query.Empty() {
		b.Const(e.noQuery)
	} else {
		b.Add(e.query, h.Query.In(buf))
	}
	b.Const(e.protocol[h.Minor])
	scheme, defaultPort := e.scheme(h, buf, m)
	name, port := splitHost(h.Host.In(buf), defaultPort)
	b.Add(e.name, name)
	b.Add(e.port, port)
	b.Add(e.remote, m.remote)
	b.Const(scheme)
	if m.tunnel != nil {
		b.Const(e.https)
		if m.tunnel.peer != nil {
			b.Add(e.peer, m.tunnel.peer)
		}
	}
	if !e.plainFields(b, h, buf, m) {
		e.mergedFields(b, h, buf, m)
	}
	if m.id != nil {
		b.Add(e.requestID, m.id)
	}
	if m.bodySize >= 0 {
		var number [20]byte
		if h.Chunked {
			b.Add(e.length, strconv.AppendInt(number[:0], m.bodySize, 10))
		}
		b.Add(e.bodyWait, strconv.AppendFloat(number[:0], float64(m.bodyWait.Microseconds())/1000, 'f', -1, 64))
	}
	b.Finish(e.keys, m.body, m.file)
}

// plainFields adds the header fields as they are. It adds nothing and returns false when some need care: two of a kind,
// names with underscores, names never seen.
func (e *encoder) plainFields(b *wire.Builder, h *http1.Request, buf []byte, m *meta) bool {
	var known [64]*wire.Spelling // enough for any browser; a head with more fields can afford the careful way
	if len(h.Fields) > len(known) {
		return false
	}
	var seen bits
	for i, f := range h.Fields {
		s := e.keys.Spelling(f.Name(buf))
		if s == nil {
			s = e.learn(f.Name(buf))
		}
		if s == nil || s.Underscore || !seen.add(s.Key) {
			return false
		}
		known[i] = s
	}
	for i, f := range h.Fields {
		switch {
		case forFront(h, m, known[i].Name):
		case known[i].Key == e.host:
			b.Add(e.host, h.Host.In(buf)) // a host in the target goes before the Host header (RFC 9112 §3.2.2)
		default:
			b.Add(known[i].Key, f.Value(buf))
		}
	}
	return true
}

// bits is a set of small numbers in which two numbers may collide: that costs a needless careful way, not a wrong env.
type bits [4]uint64

func (b *bits) add(k wire.Key) (added bool) {
	word, bit := &b[k/64%4], uint64(1)<<(k%64)
	added = *word&bit == 0
	*word |= bit
	return added
}

// mergedFields adds the header fields after merging those that become the same env key (RFC 9110 §5.2; cookies by
// "; ", RFC 9113 §8.2.3). A name with an underscore yields to the same name with dashes, as in Puma: else a client could
// forge what a proxy sets. Framing fields and the proxy's are never taken from such a spelling.
func (e *encoder) mergedFields(b *wire.Builder, h *http1.Request, buf []byte, m *meta) {
	type field struct {
		name       string
		value      []byte
		underscore bool
	}
	fields := make([]field, 0, len(h.Fields))
	place := make(map[string]int, len(h.Fields))
	for _, f := range h.Fields {
		name := string(http1.AppendEnvName(nil, f.Name(buf)))
		underscore := bytes.IndexByte(f.Name(buf), '_') >= 0
		if forFront(h, m, name) || underscore && (m.hideUnderscores || neverMasked[name]) {
			continue
		}
		i, again := place[name]
		switch {
		case !again:
			place[name] = len(fields)
			fields = append(fields, field{name, f.Value(buf), underscore})
		case underscore && !fields[i].underscore:
		case !underscore && fields[i].underscore:
			fields[i] = field{name, f.Value(buf), false}
		default:
			separator := ", "
			if name == "HTTP_COOKIE" {
				separator = "; "
			}
			fields[i].value = bytes.Join([][]byte{fields[i].value, f.Value(buf)}, []byte(separator))
		}
	}
	for _, f := range fields {
		if f.name == "HTTP_HOST" {
			f.value = h.Host.In(buf)
		}
		if key, ok := e.keys.Number(f.name); ok {
			b.Add(key, f.value)
		} else {
			b.AddStrange(f.name, f.value)
		}
	}
}

// neverMasked are the fields that an underscore may not stand in for.
var neverMasked = map[string]bool{
	"HTTP_TRANSFER_ENCODING": true, "CONTENT_LENGTH": true, "HTTP_CONTENT_LENGTH": true,
}

// forFront says that the field was for the front: the body is no longer chunked when the app gets it, and the request may
// have an id already.
func forFront(h *http1.Request, m *meta, envName string) bool {
	return h.Chunked && envName == "HTTP_TRANSFER_ENCODING" || m.id != nil && envName == "HTTP_X_REQUEST_ID"
}

// learn makes a spelling known, so that the next request with it is quick. It returns nil when there are too many.
func (e *encoder) learn(name []byte) *wire.Spelling {
	return e.keys.Learn(name, string(http1.AppendEnvName(nil, name)), bytes.IndexByte(name, '_') >= 0)
}

var (
	port80  = []byte("80")
	port443 = []byte("443")
	noHost  = []byte("localhost")
	slash   = []byte("/")
)

// scheme says how the client's side is spoken, going by what a TLS-terminating proxy says (as Puma does).
func (e *encoder) scheme(h *http1.Request, buf []byte, m *meta) (scheme wire.Key, port []byte) {
	switch m.scheme {
	case "http":
		return e.schemes["http"], port80
	case "https":
		return e.schemes["https"], port443
	}
	if m.tunnel != nil {
		return e.schemes["https"], port443
	}
	for _, f := range h.Fields {
		name := f.Name(buf)
		if len(name) < len("X-Forwarded-Ssl") || name[0]|0x20 != 'x' {
			continue
		}
		value := f.Value(buf)
		if http1.EqualFold(name, "X-Forwarded-Proto") && len(value) >= 5 && http1.EqualFold(value[:5], "https") ||
			http1.EqualFold(name, "X-Forwarded-Scheme") && http1.EqualFold(value, "https") ||
			http1.EqualFold(name, "X-Forwarded-Ssl") && http1.EqualFold(value, "on") {
			return e.schemes["https"], port443
		}
	}
	return e.schemes["http"], port80
}

// splitHost splits a Host value into SERVER_NAME and SERVER_PORT. Brackets of IPv6 addresses stay (as Puma).
func splitHost(host, defaultPort []byte) (name, port []byte) {
	if len(host) == 0 {
		return noHost, defaultPort
	}
	colon := bytes.LastIndexByte(host, ':')
	if colon < 0 || bytes.IndexByte(host[colon:], ']') >= 0 {
		return host, defaultPort
	}
	if colon+1 == len(host) {
		return host[:colon], defaultPort
	}
	return host[:colon], host[colon+1:]
}
