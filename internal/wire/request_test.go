package wire

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// build makes the frame of a small request whose header names are given.
func build(k *Keys, b *Builder, method, path Key, headers ...string) {
	b.Start()
	b.Const(method)
	b.Add(path, []byte("/a"))
	for _, name := range headers {
		if s := k.Learn([]byte(name), name, false); s != nil {
			b.Add(s.Key, []byte("value of "+name))
		} else {
			b.AddStrange(name, []byte("value of "+name))
		}
	}
	b.Finish(k, []byte("body"), false)
}

// env reads a frame as a worker would, given the DEFINE frame of its shape.
func env(t *testing.T, b *Builder) (map[string]string, string) {
	t.Helper()
	var request Frame
	if need, err := Need(b.Frame); err != nil || need != len(b.Frame) {
		t.Fatalf("the frame has %d bytes and says %d, %v", len(b.Frame), need, err)
	}
	if err := Decode(b.Frame, &request); err != nil {
		t.Fatal(err)
	}
	values := strings.Split(strings.TrimSuffix(string(request.Head), "\x00"), "\x00")
	got := map[string]string{}
	if request.Code == 0 {
		for i := 0; i+1 < len(values); i += 2 {
			got[values[i]] = values[i+1]
		}
		return got, string(request.Body)
	}
	var define Frame
	if err := Decode(b.Shape.Define, &define); err != nil {
		t.Fatal(err)
	}
	if define.Code != request.Code {
		t.Fatalf("the request has shape %d and its definition is for %d", request.Code, define.Code)
	}
	for entry := range strings.SplitSeq(strings.TrimSuffix(string(define.Head), "\x00"), "\x00") {
		name, constant, ok := strings.Cut(entry, "=")
		if ok {
			got[name] = constant
		} else {
			got[name], values = values[0], values[1:]
		}
	}
	return got, string(request.Body)
}

func TestARequestIsReadAsItWasBuilt(t *testing.T) {
	k := NewKeys()
	method, path := k.Must("REQUEST_METHOD=GET"), k.Must("PATH_INFO")
	var b Builder
	build(k, &b, method, path, "HTTP_ACCEPT", "HTTP_HOST")
	got, body := env(t, &b)
	want := map[string]string{
		"REQUEST_METHOD": "GET", "PATH_INFO": "/a",
		"HTTP_ACCEPT": "value of HTTP_ACCEPT", "HTTP_HOST": "value of HTTP_HOST",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || body != "body" {
		t.Errorf("the env is %v and the body %q", got, body)
	}
}

func TestEqualRequestsShareAShape(t *testing.T) {
	k := NewKeys()
	method, path := k.Must("REQUEST_METHOD=GET"), k.Must("PATH_INFO")
	var one, same, other Builder
	build(k, &one, method, path, "HTTP_ACCEPT")
	build(k, &same, method, path, "HTTP_ACCEPT")
	build(k, &other, method, path, "HTTP_HOST")
	if one.Shape != same.Shape || one.Shape == other.Shape {
		t.Errorf("the shapes are %v, %v and %v", one.Shape.Number, same.Shape.Number, other.Shape.Number)
	}
}

// A client that invents header names must not fill the front's memory or the workers', and must still be served.
func TestInventedNamesFillNoTable(t *testing.T) {
	k := NewKeys()
	method, path := k.Must("REQUEST_METHOD=GET"), k.Must("PATH_INFO")
	var b Builder
	for i := range 3 * maxSpellings {
		name := fmt.Sprintf("HTTP_X_%d", i)
		build(k, &b, method, path, name, "HTTP_ACCEPT")
		if i%997 != 0 && i < 3*maxSpellings-10 {
			continue
		}
		got, _ := env(t, &b)
		if got[name] != "value of "+name || got["REQUEST_METHOD"] != "GET" || len(got) != 4 {
			t.Fatalf("request %d has the env %v", i, got)
		}
	}
	if n := len(*k.spellings.Load()); n > maxSpellings {
		t.Errorf("%d spellings are kept", n)
	}
	if n := len(*k.shapes.Load()); n > maxShapes {
		t.Errorf("%d shapes are kept", n)
	}
	if len(k.names) > maxKeys {
		t.Errorf("%d keys are kept", len(k.names))
	}
}

func TestTheIdIsWrittenLast(t *testing.T) {
	k := NewKeys()
	var b Builder
	build(k, &b, k.Must("REQUEST_METHOD=GET"), k.Must("PATH_INFO"))
	SetID(b.Frame, 0xabcdef01)
	var f Frame
	if err := Decode(b.Frame, &f); err != nil || f.ID != 0xabcdef01 {
		t.Errorf("the id is %x, %v", f.ID, err)
	}
}

// The hot path of every request: no allocation once the shape is known.
func TestBuildingAKnownShapeAllocatesNothing(t *testing.T) {
	k := NewKeys()
	method, path := k.Must("REQUEST_METHOD=GET"), k.Must("PATH_INFO")
	name, value := []byte("Accept"), []byte("*/*")
	k.Learn(name, "HTTP_ACCEPT", false)
	var b Builder
	request := func() {
		b.Start()
		b.Const(method)
		b.Add(path, value)
		b.Add(k.Spelling(name).Key, value)
		b.Finish(k, nil, false)
	}
	request()
	if n := testing.AllocsPerRun(100, request); n != 0 {
		t.Errorf("a request costs %v allocations", n)
	}
}

var eighteen = func() (names []string) {
	for i := range 18 {
		names = append(names, fmt.Sprintf("HTTP_HEADER_NUMBER_%d", i))
	}
	return names
}()

// BenchmarkBuild is the trick: a shape's number and the values.
func BenchmarkBuild(b *testing.B) {
	k := NewKeys()
	var keys []Key
	for _, name := range eighteen {
		keys = append(keys, k.Must(name))
	}
	value := []byte("some value of ordinary length")
	var builder Builder
	b.ReportAllocs()
	for b.Loop() {
		builder.Start()
		for _, key := range keys {
			builder.Add(key, value)
		}
		builder.Finish(k, nil, false)
	}
}

// BenchmarkBuildPlain is its plain twin: keys and values.
func BenchmarkBuildPlain(b *testing.B) {
	value := []byte("some value of ordinary length")
	var frame []byte
	b.ReportAllocs()
	for b.Loop() {
		var head bytes.Buffer
		for _, name := range eighteen {
			head.WriteString(name)
			head.WriteByte(0)
			head.Write(value)
			head.WriteByte(0)
		}
		frame = Append(frame[:0], &Frame{Type: Request, Head: head.Bytes()})
	}
}
