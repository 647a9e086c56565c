// Command goloop is the least that serving costs in Go, as one writes it: a goroutine for each connection, which reads and writes, and
// looks for nothing in a request but its end.
//
//	goloop ADDRESS PORT
//
// A request is taken for whole when it has come in one read. Those of a load generator on the same machine are.
package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
)

// response is as long as what Serval sends for the hello app.
var response = []byte("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nDate: Mon, 23 Nov 2026 10:36:09 GMT\r\nContent-Length: 13\r\n\r\nHello, world!")

var blankLine = []byte("\r\n\r\n")

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: goloop ADDRESS PORT")
		os.Exit(2)
	}
	if err := serve(net.JoinHostPort(os.Args[1], os.Args[2])); err != nil {
		fmt.Fprintln(os.Stderr, "goloop:", err)
		os.Exit(1)
	}
}

func serve(address string) error {
	listener, err := net.Listen("tcp4", address)
	if err != nil {
		return err
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go answer(conn)
	}
}

// answer reads, and answers each blank line, until the client leaves.
func answer(conn net.Conn) {
	defer conn.Close()
	request := make([]byte, 4096)
	for {
		n, err := conn.Read(request)
		if err != nil {
			return
		}
		for range bytes.Count(request[:n], blankLine) {
			if _, err := conn.Write(response); err != nil {
				return
			}
		}
	}
}
