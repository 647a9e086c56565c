package test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"serval/internal/site"
	"serval/internal/testkit"
)

// nginx starts one of its own in front of the socket that upstream names, and returns where it listens.
func nginx(t *testing.T, upstream string) (url string) {
	t.Helper()
	dir := testkit.ShortDir(t)
	return serveByNginx(t, dir, fmt.Sprintf(`
  client_max_body_size 0;
  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  upstream app { server %[2]s; keepalive 8; }
  server {
    listen unix:%[1]s/listen;
    location / {
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-Proto https;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_next_upstream off;
    }
  }
`, dir, upstream))
}

// serveByNginx starts an nginx with these settings, which listens on the unix socket "listen" of the directory, and returns
// where that is.
func serveByNginx(t *testing.T, dir, settings string) (url string) {
	t.Helper()
	program := testkit.Need(t, "nginx")
	conf := filepath.Join(dir, "nginx.conf")
	write(t, conf, fmt.Sprintf(`
daemon off;
master_process off;
pid %[1]s/pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;
%[2]s
}
`, dir, settings))
	cmd := exec.Command(program, "-p", dir, "-c", conf, "-e", "stderr")
	errs, err := os.Create(filepath.Join(dir, "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer errs.Close()
	cmd.Stderr = errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if text, _ := os.ReadFile(errs.Name()); t.Failed() || strings.Contains(string(text), "[error]") {
			t.Errorf("nginx said:\n%s", text)
		}
	})
	testkit.WaitFor(t, "nginx listens", func() bool {
		c, err := net.Dial("unix", dir+"/listen") // the file alone is there before nginx listens
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return "unix://" + dir + "/listen"
}

// behindNginx starts an app on a unix socket, and nginx before it.
func behindNginx(t *testing.T, app string, flags ...string) (s *testkit.Server, url string) {
	t.Helper()
	socket := testkit.ShortDir(t) + "/app"
	s = testkit.Start(t, app, append(flags, "-b", "unix://"+socket)...)
	return s, nginx(t, "unix:"+socket)
}

func TestNginxKeepsItsConnectionsAndLosesNothing(t *testing.T) {
	t.Parallel()
	s, url := behindNginx(t, "slow", "-w", "2", "-t", "3")
	var clients sync.WaitGroup
	served := make(chan int, 8)
	over := make(chan struct{})
	for range 8 {
		clients.Go(func() {
			n := 0
			defer func() { served <- n }()
			c := testkit.DialURL(t, url)
			for {
				select {
				case <-over:
					return
				default:
				}
				path := []string{"/fast", "/sleep?s=0.01", "/nowhere"}[n%3]
				c.Send(testkit.Request("GET", path, ""))
				r, err := c.TryResponse("GET")
				if err != nil || r.Status != []int{200, 200, 404}[n%3] {
					t.Errorf("%s: got %+v, %v", path, r, err)
					return
				}
				n++
			}
		})
	}
	// Meanwhile, both workers are replaced.
	for _, w := range s.Workers() {
		kill(t, w, syscall.SIGTERM)
		s.AwaitLog(fmt.Sprintf("(PID: %d) retired", w.PID))
	}
	if n := len(sockets(t, s.PID)); n > 20 {
		t.Errorf("the front has %d sockets: nginx does not keep its connections", n)
	}
	close(over)
	clients.Wait()
	for range 8 {
		if n := <-served; n == 0 {
			t.Error("a client was not served")
		}
	}
}

func TestBodiesPassNginxBothWays(t *testing.T) {
	t.Parallel()
	_, url := behindNginx(t, "echo")
	c := testkit.DialURL(t, url)
	for _, size := range []int{1, 1000, 100_000, 3_000_000} {
		body := strings.Repeat("0123456789", size/10+1)[:size]
		c.Send(testkit.Request("POST", "/body", body))
		if r := c.Response("POST"); r.Status != 200 || r.Body != body {
			t.Errorf("%d bytes became %d", size, len(r.Body))
		}
		c.Send("POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunksOf(body, 9999))
		if r := c.Response("POST"); r.Status != 200 || r.Body != body {
			t.Errorf("%d bytes in chunks became %d", size, len(r.Body))
		}
	}
	c.Send(testkit.Request("GET", "/", ""))
	env := object(t, c.Response("GET"))
	for key, want := range map[string]any{"rack.url_scheme": "https", "SERVER_PORT": "443", "SERVER_NAME": "serval.test", "REMOTE_ADDR": "127.0.0.1"} {
		if env[key] != want {
			t.Errorf("%s is %v, want %v", key, env[key], want)
		}
	}
}

func TestStreamsPassNginxPartByPart(t *testing.T) {
	t.Parallel()
	s, url := behindNginx(t, "slow", "--shutdown-timeout", "1")
	c := testkit.DialURL(t, url)
	c.Send(testkit.Request("GET", "/block-later", ""))
	c.Head()
	if size, part := c.Line(), c.Line(); size != "4" || part != "one" {
		t.Errorf("the first chunk is %q, %q", size, part)
	}
	c.Close()
	if r := s.Get("/fast"); r.Status != 200 {
		t.Errorf("got %+v", r)
	}
}

func TestACableThroughNginx(t *testing.T) {
	t.Parallel()
	_, url := behindNginx(t, "cable", "-t", "1")
	var cables []*cable
	for range 10 {
		cables = append(cables, openCable(t, testkit.DialURL(t, url), echoChannel))
	}
	cables[3].perform("shout", "through nginx")
	for _, k := range cables {
		k.expect(`"shouted":"through nginx"`)
		k.hangUp()
	}
}

// The site that Serval writes is as good as one written by hand.
func TestACableThroughTheSiteThatServalWrites(t *testing.T) {
	t.Parallel()
	dir := testkit.ShortDir(t)
	testkit.Start(t, "cable", "-b", "unix://"+dir+"/app")
	text, err := site.Site{App: "my-app", Directory: dir, Root: dir, Server: "Serval", Upstream: dir + "/app"}.Write()
	if err != nil {
		t.Fatal(err)
	}
	url := serveByNginx(t, dir, strings.Replace(text, "listen 80 ", "listen unix:"+dir+"/listen ", 1))
	k := openCable(t, testkit.DialURL(t, url), echoChannel)
	k.perform("shout", "through the site")
	k.expect(`"shouted":"through the site"`)
	k.hangUp()
}

func TestAnUploadThatNginxBreaksOffReachesNobody(t *testing.T) {
	t.Parallel()
	s, url := behindNginx(t, "echo", "-v")
	before := len(sockets(t, s.PID))
	c := testkit.DialURL(t, url)
	c.Send("POST /digest HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 300_000))
	c.Close()
	testkit.WaitFor(t, "the front has let go of it", func() bool { return len(sockets(t, s.PID)) <= before })
	if strings.Contains(s.Out.String(), "/digest HTTP/1.1\" 200") {
		t.Error("half an upload was served")
	}
}
