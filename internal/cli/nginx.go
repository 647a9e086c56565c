package cli

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"serval/internal/analysis"
	"serval/internal/envfile"
	"serval/internal/installation"
	"serval/internal/procfile"
	"serval/internal/site"
)

const nginxHelp = `Usage: serval nginx [flags] [DIR]

Prints the nginx site for the app in DIR (default this directory): the files of
its public directory, and the web server of its Procfile behind them, on the
unix socket or the address of its command. Without custom_web nginx runs the app
by Passenger. Users and variables are those that the app was installed with.
Nothing is written:

  serval nginx >/etc/nginx/conf.d/blog.conf
  nginx -t && systemctl reload nginx

      --domain NAME            the name the site answers for; once for each
                               (default all that no other site answers for)
      --listen [ADDRESS:]PORT  where nginx listens (default 80)
  -e, --environment ENV        whose Procfile and manifest count (default
                               APP_ENV, RACK_ENV, RAILS_ENV or production)
      --app NAME               the app's name (default the directory's)
  -h, --help                   show this help
`

// newNginx makes the command that prints an app's site.
func newNginx(streams Streams) *cobra.Command {
	var s survey
	var domains []string
	var listen string
	cmd := &cobra.Command{
		Use: "nginx [flags] [DIR]",
		Args: func(_ *cobra.Command, dirs []string) error {
			if len(dirs) > 1 {
				return usagef("one directory is enough, and here are %d (%s): name one. See serval nginx --help", len(dirs), quoted(dirs))
			}
			return nil
		},
		RunE: func(_ *cobra.Command, dirs []string) error {
			s.directory = cmp.Or(slices.Concat(dirs, []string{"."})[0], ".")
			found, err := s.site(os.Geteuid() == 0, os.Getenv)
			if err != nil {
				return err
			}
			found.Domains, found.Listen = domains, listen
			text, err := found.Write()
			if err != nil {
				return err
			}
			_, err = io.WriteString(streams.Out, text)
			return err
		},
	}
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) { io.WriteString(cmd.OutOrStdout(), nginxHelp) }) //nolint:errcheck // nobody is left to hear of it
	flags := cmd.Flags()
	flags.StringArrayVar(&domains, "domain", nil, "")
	flags.StringVar(&listen, "listen", "", "")
	flags.StringVarP(&s.environment, "environment", "e", "", "")
	flags.StringVar(&s.app, "app", "", "")
	return cmd
}

// site finds out what nginx has to know about an app. Users and values are those it was installed with, if it was.
func (s survey) site(root bool, getenv func(string) string) (site.Site, error) {
	result, _, err := s.look(root, getenv)
	if err != nil {
		return site.Site{}, err
	}
	if wrong := result.Findings.Errors(); len(wrong) > 0 {
		return site.Site{}, findings(wrong)
	}
	i, err := installed(result, root, getenv)
	if err != nil {
		return site.Site{}, err
	}
	found := site.Site{App: result.App, Directory: i.Directory, Root: analysis.Root(i.Directory), Environment: result.Environment, Server: result.Server.Name}
	if analysis.Passenger(result.Server.Name) {
		return passengerSite(found, i)
	}
	web, err := i.Service(result.Plan, *result.Plan.Process(procfile.Web), 0)
	if err != nil {
		return site.Site{}, err
	}
	if found.Upstream = cmp.Or(web.Socket, site.Address(web.Address)); found.Upstream == "" {
		return site.Site{}, fmt.Errorf("the command of custom_web (%s) names neither a unix socket nor a port that nginx could ask: let it listen on unix:///tmp/web_server.sock", web.Process.Command)
	}
	return found, nil
}

// installed is what is installed of an app; where nothing is, what would be with nothing but its directory.
func installed(result analysis.Result, root bool, getenv func(string) string) (installation.Installation, error) {
	i := installation.Installation{App: result.App, Directory: result.Directory, Environment: result.Environment}
	state, err := analysis.StateDir(result.App, root, getenv)
	if err != nil {
		return i, usageError{err}
	}
	there, err := installation.Load(state)
	if err != nil || there == nil {
		return i, err
	}
	return *there, nil
}

// passengerSite adds what Passenger has to know to start the app.
func passengerSite(found site.Site, i installation.Installation) (site.Site, error) {
	told, err := envfile.Read(i.EnvFiles)
	if err != nil {
		return found, err
	}
	// What the environment files say comes later and wins.
	found.Variables = append([]string{"LANG=C.UTF-8", "STACK_BASE=" + found.Root, "STACK_PATH=" + i.Directory}, told...)
	found.User = i.User
	for _, dir := range filepath.SplitList(installation.Path) {
		if path := filepath.Join(dir, "ruby"); found.Ruby == "" && executable(path) {
			found.Ruby = path
		}
	}
	return found, nil
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
