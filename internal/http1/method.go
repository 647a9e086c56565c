package http1

import (
	"maps"
	"slices"
)

// registered holds the methods of the IANA HTTP Method Registry but three: PRI and * are reserved there, and a CONNECT
// asks for a tunnel, which an origin server does not dig.
var registered = map[string]bool{
	"ACL": true, "BASELINE-CONTROL": true, "BIND": true, "CHECKIN": true, "CHECKOUT": true, "COPY": true,
	"DELETE": true, "GET": true, "HEAD": true, "LABEL": true, "LINK": true, "LOCK": true, "MERGE": true,
	"MKACTIVITY": true, "MKCALENDAR": true, "MKCOL": true, "MKREDIRECTREF": true, "MKWORKSPACE": true, "MOVE": true,
	"OPTIONS": true, "ORDERPATCH": true, "PATCH": true, "POST": true, "PROPFIND": true, "PROPPATCH": true, "PUT": true,
	"QUERY": true, "REBIND": true, "REPORT": true, "SEARCH": true, "TRACE": true, "UNBIND": true, "UNCHECKOUT": true,
	"UNLINK": true, "UNLOCK": true, "UPDATE": true, "UPDATEREDIRECTREF": true, "VERSION-CONTROL": true,
}

// RegisteredMethods returns the methods that are accepted by default, sorted.
func RegisteredMethods() []string { return slices.Sorted(maps.Keys(registered)) }

func (l *Limits) allows(method []byte) bool {
	if l.AnyMethod {
		return true
	}
	if l.Methods != nil {
		return l.Methods[string(method)]
	}
	switch string(method) {
	case "GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS":
		return true
	}
	return registered[string(method)]
}
