package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"serval/internal/dispatch"
	"serval/internal/testkit"
)

// inTunnel has the tests of this package speak TLS.
var inTunnel = os.Getenv("SERVAL_TEST_TLS") != ""

// secureListener is a listener whose clients speak TLS.
type secureListener struct {
	*net.TCPListener
	cfg *tls.Config
}

func (l secureListener) TLS() *tls.Config { return l.cfg }

var testTLS = sync.OnceValue(func() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{selfSigned("localhost")}, NextProtos: []string{"http/1.1"}}
})

// tunneled is a client's connection that speaks TLS, if that is what is tested.
func tunneled(t testing.TB, conn net.Conn) net.Conn {
	if !inTunnel {
		return conn
	}
	secured := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // whose server it is is known
	if err := secured.Handshake(); err != nil {
		t.Log(err) // the test will tell
	}
	return secured
}

// tcp is the socket beneath a client's connection.
func tcp(conn net.Conn) *net.TCPConn {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	return conn.(*net.TCPConn)
}

// selfSigned makes a certificate.
func selfSigned(name string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	like := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, like, like, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// notInTunnel are tests of what is only so without TLS: that nothing is allocated, that connections move between servers; and some
// whose listeners or clients do not speak it.
const notInTunnel = "Allocates|Tunnel|Relay|CanGoAlong|GoToTheSuccessor|AreCountedOn|TravelsAlong|GoAfterTheirResponse|" +
	"PipelinedRequestsGoAlong|EndWhereTheyBegan|AReleaseThat|NoticeThatTheyMove|WaitsToBeAccepted|ClientsAreRefused|" +
	"SteadyReader|CameBeforeTheTimeout|TurnedAway"

// Whatever holds for connections holds for those that speak TLS: the same tests once more, by this very binary, but for this
// one, which notInTunnel leaves out as well.
func TestTheTestsOfThisPackageHoldInTunnels(t *testing.T) {
	args := []string{"-test.run=.", "-test.skip=" + notInTunnel, "-test.count=1", "-test.timeout=10m"} // so that it tells where it hangs
	if testing.Short() {
		args = append(args, "-test.short")
	}
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "SERVAL_TEST_TLS=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// tunneling starts a server with TLS, whatever the other tests do.
func tunneling(t *testing.T, cfg Config, d Dispatcher) (s *Server, addr string, log *testLog) {
	t.Helper()
	before := inTunnel
	inTunnel = true
	defer func() { inTunnel = before }()
	return serving(t, cfg, d)
}

func dialTunnel(t *testing.T, addr string) *client {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // whose server it is is known
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	return &client{t, conn, bufio.NewReader(conn)}
}

func TestATunnelThatIsNotFinishedHoldsNothingForLong(t *testing.T) {
	s, addr, log := tunneling(t, Config{HeaderTimeout: 100 * time.Millisecond}, answering())
	hello := "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
	for _, sent := range []string{"", hello[:1], hello} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, sent)
		conn.SetDeadline(time.Now().Add(30 * time.Second))
		if n, err := conn.Read(make([]byte, 10)); err != io.EOF {
			t.Errorf("after %q came %d bytes, %v", sent, n, err)
		}
	}
	eventually(t, "nobody is connected", func() bool { return s.Connections() == 0 })
	if !log.has("did not finish it in time (--header-timeout)") {
		t.Errorf("the operator reads %q", log.lines)
	}
}

func TestATunnelForOneTooManyIsNotBuilt(t *testing.T) {
	_, addr, log := tunneling(t, Config{MaxConnections: 1}, answering())
	dialTunnel(t, addr)
	if _, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true}); err == nil { //nolint:gosec // as above
		t.Error("a connection past the limit was made")
	}
	if !log.has("(--max-connections)") {
		t.Errorf("the operator reads %q", log.lines)
	}
}

// A response that is delimited by the end of the connection is whole if the end was announced, and only then.
func TestATunnelEndsWithAGoodbyeUnlessTheResponseWasCut(t *testing.T) {
	whole := make(chan bool, 1)
	_, addr, _ := tunneling(t, Config{}, &app{handle: func(r *dispatch.Request) {
		r.Responder.Head(200, nil, []byte("some"))
		r.Responder.End(<-whole)
	}})
	for _, ok := range []bool{true, false} {
		whole <- ok
		c := dialTunnel(t, addr)
		c.send("GET / HTTP/1.0\r\n\r\n")
		if _, err := io.ReadAll(c.Reader); (err == nil) != ok {
			t.Errorf("whole: %v, and the client sees %v", ok, err)
		}
	}
}

// A client may change its keys whenever it likes (RFC 8446 §4.6.3), and wants the server's changed, too. crypto/tls' client
// cannot, OpenSSL's can.
func TestATunnelChangesItsKeys(t *testing.T) {
	_, addr, _ := tunneling(t, Config{}, answering())
	cmd := exec.Command(testkit.Need(t, "openssl"), "s_client", "-connect", addr, "-tls1_3")
	var said strings.Builder
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait() //nolint:errcheck // it was killed
	defer cmd.Process.Kill()
	time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
	answers := bufio.NewReader(out)
	for i := range 5 {
		if i > 0 {
			io.WriteString(in, "K\n") // it changes its keys, and asks for the same of the server
			time.Sleep(50 * time.Millisecond)
		}
		io.WriteString(in, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		for line := ""; !strings.Contains(line, "HTTP/1.1 200 OK"); {
			if line, err = answers.ReadString('\n'); err != nil || strings.Contains(line, "HTTP/1.1 4") {
				t.Fatalf("request %d: %q, %v", i, line, err)
			}
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
	if n := strings.Count(said.String(), "KEYUPDATE"); n != 4 {
		t.Errorf("the keys were changed %d times: %s", n, said.String())
	}
}

func TestReleaseEndsTunnelsPolitely(t *testing.T) {
	s, addr, _ := tunneling(t, Config{}, answering())
	idle, busy := dialTunnel(t, addr), dialTunnel(t, addr)
	for _, c := range []*client{idle, busy} {
		c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		c.response("GET")
	}
	over := make(chan error, 1)
	go func() {
		over <- s.Release(t.Context(), func(Transfer) error { t.Error("TLS was given away"); return nil })
	}()
	eventually(t, "it gives its connections away", func() bool { return s.releasing.Load() != nil })
	busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if res, _ := busy.response("GET"); !res.Close {
		t.Error("the last response does not say that it is")
	}
	busy.closed()
	busy.Close()
	idle.closed()
	if err := <-over; err != nil {
		t.Error(err)
	}
}

// Whatever is written in whatever pieces at either end comes out at the other, in full and in order, ends included.
func TestARelayPassesOnAllThatIsSaid(t *testing.T) {
	for seed := range uint64(12) {
		random := mathrand.New(mathrand.NewPCG(seed, 1))
		sizes := [2]int{random.IntN(3 << 20), random.IntN(3 << 20)}
		appFirst := seed%2 == 0
		given, early := make(chan *os.File, 1), make(chan string, 1)
		s, addr, _ := tunneling(t, Config{}, &app{handle: func(r *dispatch.Request) {
			r.Responder.HijackHead(101, []byte("upgrade\x00x\x00"), nil, func(f *os.File, leftover []byte) { early <- string(leftover); given <- f })
		}})
		c := dialTunnel(t, addr)
		c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nearly")
		head, err := http.ReadResponse(c.Reader, nil)
		if err != nil || head.StatusCode != 101 {
			t.Fatal(err)
		}
		before := <-early
		f := <-given
		conn, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		end := conn.(*net.UnixConn)
		var both sync.WaitGroup
		toApp, toClient := stream(seed, sizes[0]), stream(seed+99, sizes[1])
		both.Go(func() {
			pieces(c.Conn, toApp, mathrand.New(mathrand.NewPCG(seed, 2)))
			if !appFirst {
				c.Conn.(*tls.Conn).CloseWrite()
			}
		})
		both.Go(func() {
			pieces(end, toClient, mathrand.New(mathrand.NewPCG(seed, 3)))
			if appFirst {
				end.CloseWrite()
			}
		})
		both.Go(func() {
			got := append([]byte(before), make([]byte, 5-len(before)+len(toApp))...)
			if _, err := io.ReadFull(end, got[len(before):]); err != nil || string(got[:5]) != "early" || !bytes.Equal(got[5:], toApp) {
				t.Errorf("seed %d: the app got something else, %v", seed, err)
			}
			if !appFirst {
				if n, err := end.Read(got); err != io.EOF {
					t.Errorf("seed %d: the app got %d more bytes, %v", seed, n, err)
				}
			}
		})
		both.Go(func() {
			got := make([]byte, len(toClient))
			if _, err := io.ReadFull(c.Reader, got); err != nil || !bytes.Equal(got, toClient) {
				t.Errorf("seed %d: the client got something else, %v", seed, err)
			}
			if appFirst {
				c.closed()
			}
		})
		both.Wait()
		end.Close()
		if !appFirst {
			c.closed()
		}
		c.Close()
		eventually(t, "the relay is gone", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.relays) == 0
		})
	}
}

// stream is a sequence of bytes in which no two stretches are alike.
func stream(seed uint64, size int) []byte {
	random := mathrand.New(mathrand.NewPCG(seed, 4))
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	return data
}

// pieces writes data in pieces of all sizes.
func pieces(to io.Writer, data []byte, random *mathrand.Rand) {
	for len(data) > 0 {
		n := min(len(data), 1+random.IntN(1<<random.IntN(18)))
		if _, err := to.Write(data[:n]); err != nil {
			return
		}
		data = data[n:]
	}
}

// An app that closes is done: a client that says and does nothing must not keep the relay.
func TestARelayEndsWithTheApp(t *testing.T) {
	given := make(chan *os.File, 1)
	s, addr, _ := tunneling(t, Config{}, &app{handle: func(r *dispatch.Request) {
		r.Responder.Hijack(func(f *os.File, _ []byte) { given <- f })
	}})
	left := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.relays)
	}
	c := dialTunnel(t, addr)
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	f := <-given
	eventually(t, "there is a relay", func() bool { return left() == 1 })
	f.Close()
	c.closed()
	eventually(t, "the relay is gone", func() bool { return left() == 0 })

	// And Part ends those whose app does not.
	c = dialTunnel(t, addr)
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	f = <-given
	defer f.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	s.Part(ctx)
	if left() > 0 {
		t.Error("a relay is left")
	}
}

// BenchmarkHelloTunnel is BenchmarkHello with TLS.
func BenchmarkHelloTunnel(b *testing.B) {
	inTunnel = true
	defer func() { inTunnel = false }()
	_, addr, _ := serving(b, Config{}, hello())
	c := dial(b, addr)
	request, response := measure(b, c)
	b.ReportAllocs()
	for b.Loop() {
		exchange(b, c, request, response)
	}
}
