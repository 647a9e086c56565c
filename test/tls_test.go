package test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"serval/internal/testkit"
)

// askRuby has Ruby's net/http, which is OpenSSL, ask for a few things by one connection. set is Ruby that sets up http.
func askRuby(t *testing.T, addr, set string) (said string, err error) {
	t.Helper()
	script := `
require "net/http"
host, _, port = ARGV.first.rpartition(":")
http = Net::HTTP.new(host, port)
http.use_ssl = true
http.open_timeout = http.read_timeout = 30
` + set + `
http.start do
  puts http.get("/").body
  puts http.post("/", "x" * 100_000).body.split.last
  puts http.get("/", "Host" => "example.org").body
end
`
	cmd := exec.Command("ruby", "-e", script, addr)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%w: %s", err, errs.String())
	}
	return out.String(), nil
}

func TestRubyTalksTLSAndTheAppKnows(t *testing.T) {
	t.Parallel()
	cert, key := testkit.Certificate(t, t.TempDir(), "localhost")
	s := testkit.Start(t, "tls", "-b", "ssl://127.0.0.1:0?cert="+cert+"&key="+key)
	_, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	want := `"https" "https" "` + port + `" "127.0.0.1"` + "\n100000\n" + `"https" "https" "443" "example.org"` + "\n"
	for _, version := range []string{"TLS1_2", "TLS1_3"} {
		said, err := askRuby(t, s.Addr(), `http.ca_file = "`+cert+`"; http.min_version = http.max_version = :`+version)
		if err != nil || said != want {
			t.Errorf("%s: have %q, %v\nwant %q", version, said, err, want)
		}
	}
	if said, err := askRuby(t, s.Addr(), ""); err == nil {
		t.Errorf("a client that does not know the certificate got %q", said)
	}
	s.AwaitLog("the TLS handshake with 127.0.0.1 failed: ")
}

// What the app is told of clients and their certificates is what Puma tells it.
func TestClientsCertificatesReachTheAppAsInPuma(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := testkit.Certificate(t, dir, "localhost")
	ca, _ := testkit.Certificate(t, dir, "known")
	testkit.Certificate(t, dir, "stranger")
	own := func(name string) string {
		return fmt.Sprintf("http.verify_mode = 0; http.cert = OpenSSL::X509::Certificate.new(File.read('%s/%s.crt')); http.key = OpenSSL::PKey.read(File.read('%s/%s.key'))", dir, name, dir, name)
	}
	clients := map[string]string{"nobody": "http.verify_mode = 0", "known": own("known"), "stranger": own("stranger")}
	digits := regexp.MustCompile(`"\d+" "127`)
	for mode, lets := range map[string]string{"none": "nobody known stranger", "peer": "nobody known", "force_peer": "known"} {
		query := "?cert=" + cert + "&key=" + key + "&ca=" + ca + "&verify_mode=" + mode
		serval := testkit.Start(t, "tls", "-b", "ssl://127.0.0.1:0"+query).Addr()
		puma := startPuma(t, "tls", query)
		for name, set := range clients {
			have, err := askRuby(t, serval, set)
			if (err == nil) != strings.Contains(lets, name) {
				t.Errorf("%s, %s: %q, %v", mode, name, have, err)
			}
			if err != nil {
				continue // Puma 5.6.5 lets nobody in either, but a thread of it is busy from then on
			}
			if want, err := askRuby(t, puma, set); err != nil || digits.ReplaceAllString(have, "") != digits.ReplaceAllString(want, "") {
				t.Errorf("%s, %s: have %q, Puma %q, %v", mode, name, have, want, err)
			}
			if told := strings.Contains(have, "OpenSSL::X509::Certificate /CN=known"); told != (mode != "none" && name == "known") {
				t.Errorf("%s, %s: the app was told %q", mode, name, have)
			}
		}
	}
}

// startPuma runs the installed Puma on a port with TLS, and returns its address.
func startPuma(t *testing.T, app, query string) string {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	free.Close()
	cmd := exec.Command(testkit.Need(t, "puma"), "-C", "-", "-e", "production", "-b", "ssl://"+addr+query, testkit.App(t, app))
	cmd.Dir = t.TempDir()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill() //nolint:errcheck // gone is as good
		cmd.Wait()         //nolint:errcheck // as above
	})
	testkit.WaitFor(t, "Puma listens", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return addr
}

func TestOpenSSLSeesProtocolsCiphersAndTheGoodbye(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "tls", "-b", testkit.SSLBind(t, "&ssl_cipher_filter=ECDHE-ECDSA-AES256-GCM-SHA384&reuse=dflt"))
	client := func(input string, args ...string) string {
		cmd := exec.Command(testkit.Need(t, "openssl"), append([]string{"s_client", "-connect", s.Addr()}, args...)...)
		cmd.Stdin = strings.NewReader(input)
		out, _ := cmd.CombinedOutput() //nolint:errcheck // what it says is looked at
		return string(out)
	}
	request := "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	for _, test := range []struct{ args, want string }{
		{"-tls1_3 -ign_eof -alpn h2,http/1.1", "ALPN protocol: http/1.1"},
		{"-tls1_3 -ign_eof", `"https" "https" "443" "a"`},
		{"-tls1_2 -ign_eof", "Cipher    : ECDHE-ECDSA-AES256-GCM-SHA384"},
		{"-tls1_2 -ign_eof -msg", "Alert [length 0002], warning close_notify"},
		{"-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256", "alert handshake failure"},
		{"-tls1_1 -cipher ALL:@SECLEVEL=0", "alert protocol version"},
		{"-tls1_3 -alpn h2", "alert no application protocol"},
		{"-tls1_2 -reconnect", "Reused, TLSv1.2"},
	} {
		if said := client(request, strings.Fields(test.args)...); !strings.Contains(said, test.want) {
			t.Errorf("%s: want %q in\n%s", test.args, test.want, said)
		}
	}
}

func TestPlainHTTPToATLSPortGetsASentence(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "tls", "-b", testkit.SSLBind(t, ""))
	c := testkit.DialURL(t, "http://"+s.Addr())
	c.Send(testkit.Request("GET", "/", ""))
	if r := c.Response("GET"); r.Status != 400 || !strings.Contains(r.Body, "this port speaks TLS: write https://") {
		t.Errorf("got %+v", r)
	}
}

func TestRestartsKeepTLSConnectionsOpenAndLoseNoRequest(t *testing.T) {
	t.Parallel()
	for _, kind := range restartKinds {
		t.Run(kind.name, func(t *testing.T) {
			d := deployed(t)
			s := d.start("-w", "2", "-t", "3", "-b", testkit.SSLBind(t, ""))
			idle := s.Dial()
			idle.Send(testkit.Request("GET", "/", ""))
			idle.Response("GET")
			clients := startTraffic(s, 25)
			clients.flows(t)
			for i := range 3 {
				d.release("")
				restarted(t, s, kind.signal, kind.finished, i+1)
				serves(t, s, d.version())
				clients.flows(t)
			}
			clients.stop(t)
			idle.Send(testkit.Request("POST", "/", "still here"))
			if r := idle.Response("POST"); r.Body != d.version()+" got 10 bytes" {
				t.Errorf("a connection that was idle over three restarts got %+v", r)
			}
		})
	}
}

// Keys of TLS cannot move to another process. A client that heeds Connection: close loses nothing all the same.
func TestANewProgramEndsTLSConnectionsPolitely(t *testing.T) {
	t.Parallel()
	d := deployed(t)
	p := installed(t)
	s := p.start(d, "-w", "1", "-t", "4", "-b", testkit.SSLBind(t, ""))
	stop := make(chan struct{})
	type outcome struct {
		requests, connections int
		err                   error
	}
	outcomes := make(chan outcome, 8)
	for range cap(outcomes) {
		go func() {
			var o outcome
			defer func() { outcomes <- o }()
			var c *testkit.Client
			for {
				select {
				case <-stop:
					return
				default:
				}
				if c == nil {
					conn, err := tls.Dial("tcp", s.Addr(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // whose server it is is known
					if err != nil {
						o.err = err
						return
					}
					c = testkit.NewClient(t, conn)
					o.connections++
				}
				io.WriteString(c.Conn, testkit.Request("POST", "/", "some")) //nolint:errcheck // the answer will tell
				r, err := c.TryResponse("POST")
				if err != nil {
					o.err = fmt.Errorf("request %d: %w", o.requests, err)
					return
				}
				o.requests++
				if r.Close {
					c.Close()
					c = nil
				}
				time.Sleep(5 * time.Millisecond)
			}
		}()
	}
	idle := s.Dial()
	idle.Send(testkit.Request("GET", "/", ""))
	idle.Response("GET")
	time.Sleep(200 * time.Millisecond)
	p.install(newerProgram(t))
	s.Signal(syscall.SIGUSR2)
	testkit.WaitFor(t, "the new program serves", func() bool { return strings.Contains(s.Out.String(), handoverFinished) })
	aloneAgain(t, s, 1)
	idle.End() // with a goodbye: an end without one is an error of crypto/tls
	close(stop)
	for range cap(outcomes) {
		if o := <-outcomes; o.err != nil || o.requests < 20 || o.connections < 3 {
			t.Errorf("%d requests by %d connections, %v", o.requests, o.connections, o.err)
		}
	}
	serves(t, s, d.version())
}

// served is the name in the certificate that a server shows.
func served(t *testing.T, s *testkit.Server) string {
	t.Helper()
	conn, err := tls.Dial("tcp", s.Addr(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // that is what is asked
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestCertificatesAreReadAnewAndBrokenOnesLeaveTheOldOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := testkit.Certificate(t, dir, "site")
	renew := func(name string) {
		other := t.TempDir()
		otherCert, otherKey := testkit.Certificate(t, other, name)
		if err := errors.Join(os.Rename(otherCert, cert), os.Rename(otherKey, key)); err != nil {
			t.Fatal(err)
		}
	}
	s := testkit.Start(t, "tls", "-b", "ssl://127.0.0.1:0?cert="+cert+"&key="+key)
	open := s.Dial()
	if name := served(t, s); name != "site" {
		t.Errorf("%s is served", name)
	}
	renew("second")
	restarted(t, s, syscall.SIGUSR2, "Finished hot restart", 1)
	if name := served(t, s); name != "second" {
		t.Errorf("after a hot restart %s is served", name)
	}
	if err := os.WriteFile(cert, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Signal(syscall.SIGUSR2)
	s.AwaitLog("the hot restart failed, phase 1 goes on serving: cannot listen on ssl://127.0.0.1:0?cert=" + cert + "&key=" + key + ": " + cert + " holds no certificate")
	if name := served(t, s); name != "second" {
		t.Errorf("after a broken certificate %s is served", name)
	}
	renew("third")
	s.AwaitLog("has a new certificate, good until ")
	if name := served(t, s); name != "third" {
		t.Errorf("after a renewal %s is served", name)
	}
	open.Send(testkit.Request("GET", "/", ""))
	if r := open.Response("GET"); r.Status != 200 {
		t.Errorf("a connection from before got %+v", r)
	}
}

func TestAHotRestartPutsTLSOnAPort(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := testkit.Certificate(t, dir, "localhost")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(free.Addr().String()) //nolint:errcheck // it is one
	free.Close()
	config := filepath.Join(dir, "config", "puma.rb")
	writeBelow(t, config, "bind 'tcp://127.0.0.1:"+port+"'\n")
	s := testkit.Command{App: "tls", Dir: dir, OwnBinds: true}.Start(t)
	before := s.Dial()
	before.Send(testkit.Request("GET", "/", ""))
	before.Response("GET")
	writeBelow(t, config, fmt.Sprintf("ssl_bind '127.0.0.1', %s, cert_pem: File.read('%s'), key_pem: File.read('%s')\n", port, cert, key))
	restarted(t, s, syscall.SIGUSR2, "Finished hot restart", 1)
	if r := testkit.DialURL(t, "https://127.0.0.1:"+port); r != nil {
		r.Send(testkit.Request("GET", "/", ""))
		if a := r.Response("GET"); !strings.HasPrefix(a.Body, `"https" "https"`) {
			t.Errorf("got %+v", a)
		}
	}
	before.Send(testkit.Request("GET", "/", ""))
	if r := before.Response("GET"); !strings.HasPrefix(r.Body, `"http" nil`) {
		t.Errorf("a connection without TLS got %+v", r)
	}
}

func TestTheControlServerSpeaksTLSWithServalAndPuma(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := testkit.Certificate(t, dir, "localhost")
	state := filepath.Join(dir, "state")
	writeBelow(t, filepath.Join(dir, "config", "puma.rb"), "activate_control_app 'ssl://127.0.0.1:0?cert="+cert+"&key="+key+"'\nstate_path '"+state+"'\n")
	s := testkit.Command{App: "tls", Dir: dir}.Start(t)
	for _, program := range [][]string{{testkit.Binary(t), "ctl"}, {testkit.Need(t, "pumactl")}} {
		out, err := exec.Command(program[0], append(program[1:], "-S", state, "stats")...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), `"requests_count":`) {
			t.Errorf("%s: %v\n%s", program, err, out)
		}
	}
	if out, err := exec.Command(testkit.Binary(t), "ctl", "-S", state, "restart").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	s.AwaitLog("Finished hot restart")
	// Somebody else's certificate is not trusted, where it is known which one is right.
	testkit.Certificate(t, dir, "localhost")
	if out, err := exec.Command(testkit.Binary(t), "ctl", "-S", state, "stats").CombinedOutput(); err == nil || !strings.Contains(string(out), "it is not the server whose certificate is in "+cert) {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestActionCableTalksThroughTLS(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "cable", "-t", "2", "-b", testkit.SSLBind(t, ""))
	k := openCable(t, s.Dial(), echoChannel)
	for i := range 20 {
		k.perform("say", fmt.Sprintf("hello %d", i))
		k.expect(fmt.Sprintf(`"said":"hello %d"`, i))
	}
	long := strings.Repeat("long ", 30_000)
	k.perform("say", long)
	k.expect(long)
	k.hangUp()
	left := openCable(t, s.Dial(), echoChannel)
	left.Reset()
	testkit.WaitFor(t, "their sockets are closed", func() bool { return len(sockets(t, s.PID)) < 10 })
	stays := openCable(t, s.Dial(), echoChannel)
	s.Stop()     // promptly, though somebody is connected
	stays.Rest() //nolint:errcheck // it ends
}

func TestACertificateThatCannotBeUsedIsOneSentenceAndStatus1(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, _ := testkit.Certificate(t, dir, "one")
	_, key := testkit.Certificate(t, dir, "other")
	for text, want := range map[string]string{
		"ssl_bind '127.0.0.1', 0, cert: 'no.crt', key: 'no.key'":                    "config/puma.rb:1: cannot listen on ssl://127.0.0.1:0?cert=no.crt&key=no.key&verify_mode=none: the certificate " + dir + "/no.crt is not there: correct the path",
		"ssl_bind '127.0.0.1', 0":                                                   "config/puma.rb:1: cannot listen on ssl://127.0.0.1:0?&verify_mode=none: it needs a certificate and its key: add cert=PATH and key=PATH; for development, add the gem localhost to the Gemfile, which makes them",
		"bind 'ssl://127.0.0.1:0?cert=" + cert + "&key=" + key + "'":                "config/puma.rb:1: cannot listen on ssl://127.0.0.1:0?cert=" + cert + "&key=" + key + ": the key " + key + " is not that of the certificate " + cert + ": name those that were made together",
		"activate_control_app 'ssl://127.0.0.1:0?key=" + key + "'":                  "--control-url: cannot listen on ssl://127.0.0.1:0?key=" + key + ": the certificate is missing: add cert=PATH",
		"ssl_bind '127.0.0.1', 0, cert_pem: 'x', key_pem: File.read('" + key + "')": "config/puma.rb:1: cannot listen on ssl://127.0.0.1:0?cert=store%3A0&key=store%3A1&verify_mode=none: store:0 holds no certificate: it has to have a PEM block that begins with -----BEGIN CERTIFICATE-----",
	} {
		writeBelow(t, filepath.Join(dir, "config", "puma.rb"), text+"\n")
		cmd := exec.Command(testkit.Binary(t), "-e", "production", testkit.App(t, "tls"))
		cmd.Dir, cmd.Env = dir, plainEnvironment(nil)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		err := cmd.Run()
		if cmd.ProcessState.ExitCode() != 1 || errs.String() != "serval: "+want+"\n" {
			t.Errorf("%s: %v\nhave %swant serval: %s", text, err, errs.String(), want)
		}
	}
}

// A gem with the interface of localhost's stands for it, because tests install none.
func TestWithoutACertificateTheGemLocalhostIsAsked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := testkit.Certificate(t, dir, "made by the gem")
	gem := filepath.Join(dir, "gem")
	writeBelow(t, filepath.Join(gem, "localhost.gemspec"), "Gem::Specification.new { |s| s.name = 'localhost'; s.version = '1.1.10'; s.summary = s.author = 'x'; s.files = ['lib/localhost/authority.rb'] }\n")
	writeBelow(t, filepath.Join(gem, "lib", "localhost", "authority.rb"), fmt.Sprintf("module Localhost\n  class Authority\n    def self.fetch = new\n    def certificate_path = '%s'\n    def key_path = '%s'\n  end\nend\n", cert, key))
	app := filepath.Join(dir, "app")
	writeBelow(t, filepath.Join(app, "Gemfile"), "gem 'rack'\ngem 'localhost', path: '"+gem+"'\n")
	writeBelow(t, filepath.Join(app, "config.ru"), "run ->(env) { [200, {}, ['hello']] }\n")
	s := testkit.Command{Dir: app, Flags: []string{"-b", "ssl://127.0.0.1:0"}}.Start(t)
	if name := served(t, s); name != "made by the gem" {
		t.Errorf("%s is served", name)
	}
	if r := s.Get("/"); r.Body != "hello" {
		t.Errorf("got %+v", r)
	}
}
