package config

import (
	"context"
	"fmt"
	"net/url"
	"os/exec"
	"strings"
	"time"
)

// Certificate is the certificate and the key for addresses that name none: those of the gem localhost, if the app has it (Puma
// 5). Their zero value says that it has not.
type Certificate struct{ Cert, Key string }

// certify asks for the certificate of the gem localhost, if an address needs it.
func (c *Config) certify(script Script, environ []string) error {
	for _, uri := range append(c.Binds[:len(c.Binds):len(c.Binds)], c.ControlURL) {
		if !namesNoCertificate(uri) {
			continue
		}
		found, err := c.localhost(script, environ)
		c.Localhost = found
		return err
	}
	return nil
}

func namesNoCertificate(uri string) bool {
	rest, secure := strings.CutPrefix(uri, "ssl://")
	_, query, _ := strings.Cut(rest, "?")
	params, err := url.ParseQuery(query)
	return secure && err == nil && params.Get("cert") == "" && params.Get("key") == ""
}

func (c *Config) localhost(script Script, environ []string) (Certificate, error) {
	path, err := script("serval/localhost.rb")
	if err != nil {
		return Certificate{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Ruby, path, c.Gemfile)
	cmd.Dir, cmd.WaitDelay = c.Directory, time.Second
	cmd.Env = append(environ, "PWD="+c.Directory)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return Certificate{}, fmt.Errorf("the gem localhost cannot be asked for a certificate (%w): %s; name one with cert= and key=", err, strings.TrimSpace(errs.String()))
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 2 {
		return Certificate{}, nil
	}
	return Certificate{Cert: lines[0], Key: lines[1]}, nil
}
