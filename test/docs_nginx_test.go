package test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"serval/internal/testkit"
)

// startNginx starts an nginx of the page's own, with what the page put into conf.d.
func (s *pageShell) startNginx() {
	s.t.Helper()
	conf := fmt.Sprintf("daemon off;\npid %[1]s/nginx.pid;\nerror_log %[1]s/nginx.log;\nevents {}\nhttp {\n  access_log off;\n", s.top)
	if os.Geteuid() == 0 {
		conf = "user root;\n" + conf // the page's directory is closed to others
	}
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		conf += fmt.Sprintf("  %s_temp_path %s/nginx-%[1]s;\n", kind, s.top)
	}
	s.write(filepath.Join(s.top, "nginx.conf"), conf+"  include "+s.here("/etc/nginx/conf.d/*.conf;\n}\n"), 0o644)
	nginx := exec.Command(testkit.Need(s.t, "nginx"), "-p", s.top, "-e", s.top+"/nginx.log", "-c", s.top+"/nginx.conf")
	nginx.Stdout, nginx.Stderr = os.Stderr, os.Stderr
	if err := nginx.Start(); err != nil {
		s.t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		nginx.Wait() //nolint:errcheck // who asks it for a page will notice
		close(over)
	}()
	s.t.Cleanup(func() {
		nginx.Process.Signal(syscall.SIGTERM) //nolint:errcheck // gone is as good
		<-over
	})
	testkit.WaitFor(s.t, "nginx listens", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+s.port80)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}
