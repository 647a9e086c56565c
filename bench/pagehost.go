package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"
)

// pageHost is a host with an app that a web server serves.
type pageHost struct {
	*box
	bench   *bench
	server  pageServer
	release int
}

const pageApp = `# frozen_string_literal: true
sleep %d
RELEASE = File.read(File.expand_path("release", __dir__))
run ->(env) { env["rack.input"]&.read; [200, { "Content-Type" => "text/plain" }, ["release ", RELEASE]] }
`

// install lays the app out and has serval install it, with nginx in front.
func (h *pageHost) install(ctx context.Context, preload bool, boot int) error {
	files := map[string]string{
		"/srv/app/config.ru":             fmt.Sprintf(pageApp, boot),
		"/srv/app/Gemfile":               "gem \"puma\"\ngem \"rack\"\n",
		"/srv/app/Procfile":              h.server.procfile,
		"/srv/app/.cloud66/manifest.yml": "production:\n  procfile_metadata:\n    web:\n      restart_signal: usr1\n",
		"/srv/app/config/puma.rb":        h.server.config(preload),
		"/etc/app.env":                   "SECRET=none\n",
	}
	for path, text := range files {
		if err := h.write(path, text); err != nil {
			return err
		}
	}
	if err := h.deploy(); err != nil {
		return err
	}
	for _, command := range []string{
		"cd /srv/app && serval install --env-file /etc/app.env && systemctl start cloud66_web_server.service",
		"cd /srv/app && serval nginx >/etc/nginx/conf.d/app.conf && rm -f /etc/nginx/sites-enabled/default && systemctl restart nginx",
	} {
		if _, err := h.run(ctx, command); err != nil {
			return err
		}
	}
	return h.serves(ctx)
}

func (h *pageHost) uninstall() error {
	_, err := h.run(context.Background(), "cd /srv/app && serval uninstall && systemctl stop nginx && rm -rf /srv/app /var/lib/serval")
	return err
}

// deploy makes another release.
func (h *pageHost) deploy() error {
	h.release++
	return h.write("/srv/app/release", fmt.Sprint(h.release))
}

// perform deploys a release, does something to the unit, and waits until the new release answers.
func (h *pageHost) perform(ctx context.Context, action pageAction) error {
	if err := h.deploy(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, pagePatient)
	defer cancel()
	if _, err := h.run(ctx, action.command); err != nil {
		return err
	}
	return h.serves(ctx)
}

// serves waits until a number of answers in a row are those of the newest release.
func (h *pageHost) serves(ctx context.Context) error {
	want, row := fmt.Sprintf("release %d", h.release), 0
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", h.path(pageSocket))
	}}}
	for ; row < pageRow; row++ {
		text, err := answer(ctx, &client, "app")
		if ctx.Err() != nil {
			return fmt.Errorf("release %d does not answer (%q, %w)", h.release, text, err)
		}
		if err != nil || text != want {
			row = -1
			pause(ctx, 10*time.Millisecond)
		}
	}
	return nil
}
