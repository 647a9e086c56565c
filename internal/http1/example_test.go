package http1_test

import (
	"fmt"
	"time"

	"serval/internal/http1"
)

// Two requests arrive in one read; the second is not complete yet.
func ExampleRequest_Parse() {
	buf := []byte("GET /first HTTP/1.1\r\nHost: a.example\r\n\r\nGET /second HTTP/1.1\r\nHo")
	var request http1.Request
	for {
		done, err := request.Parse(buf, nil)
		if err != nil || !done {
			fmt.Println("waiting with", len(buf), "bytes:", err)
			break
		}
		fmt.Printf("%s %s\n", request.Method.In(buf), request.Path.In(buf))
		buf = buf[request.Size:]
		request.Reset()
	}

	buf = append(buf, "st: a.example\r\n\n"...)
	_, err := request.Parse(buf, nil)
	fmt.Println(err)
	// Output:
	// GET /first
	// waiting with 24 bytes: <nil>
	// a line ends in a line feed without a carriage return
}

func ExampleAppendHead() {
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	head, framing := http1.AppendHead(nil, &http1.Head{
		Status:   200,
		Block:    []byte("content-type\x00text/plain\x00set-cookie\x00a=1\nb=2\x00"),
		Minor:    1,
		BodySize: -1,
		Date:     http1.AppendDate(nil, noon),
	})
	fmt.Printf("%q\n", head)
	fmt.Println("chunked:", framing.Chunked)
	// Output:
	// "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nset-cookie: a=1\r\nset-cookie: b=2\r\nDate: Sun, 22 Nov 2026 12:00:00 GMT\r\nTransfer-Encoding: chunked\r\n\r\n"
	// chunked: true
}
