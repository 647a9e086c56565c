// Package http1 turns the bytes of HTTP/1.x connections into requests, and responses into bytes.
//
// It promises three things. It reads each byte once, whatever the pieces it arrives in, and allocates nothing for an
// ordinary request. What it accepts has exactly one meaning: where two parsers might see a different end of a
// request, it refuses (RFC 9112 with every "may be lenient" answered by no). And what it writes cannot be split: no
// byte of an application's header reaches the client unless it is part of the one line it was given for.
//
// The package knows neither sockets nor policy. The positions it reports are offsets into the caller's buffer, which
// may move between calls.
package http1
