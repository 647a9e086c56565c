package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"serval/internal/config"
)

// newConfig makes the command that shows what Serval would go by, and why.
func newConfig(streams Streams) *cobra.Command {
	var given []config.Arg
	var asJSON bool
	cmd := &cobra.Command{
		Use:  "config [flags] [config.ru]",
		Args: onlyRackup,
		RunE: func(_ *cobra.Command, files []string) error {
			cfg, err := loadUnchecked(given, files)
			if err != nil {
				return err
			}
			if asJSON {
				return writeConfigJSON(streams.Out, &cfg)
			}
			writeConfig(streams.Out, &cfg)
			return nil
		},
	}
	addFlags(cmd.Flags(), &given)
	cmd.Flags().BoolVar(&asJSON, "json", false, "")
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) { io.WriteString(cmd.OutOrStdout(), configHelp) })
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return flagError(cmd.Flags(), err) })
	return cmd
}

const configHelp = `Usage: serval config [--json] [flags] [config.ru]

Shows what serval would go by with the same flags: each setting, where its value
came from (a flag, a variable, a file and line), the blocks of the configuration
files with the processes they run in, and what has no effect.
`

// shown are the settings that have a value of their own: not switches that only undo others.
func shown() (settings []config.Setting) {
	for _, s := range config.Settings {
		if s.Readable() {
			settings = append(settings, s)
		}
	}
	return settings
}

// The columns of the report fit into 80: a value that does not fit has its source on a line of its own.
const (
	nameWidth  = 28
	valueWidth = 21
)

func writeConfig(out io.Writer, cfg *config.Config) {
	var b strings.Builder
	group := config.Group("")
	for _, s := range shown() {
		if s.Group != group {
			if group != "" {
				b.WriteByte('\n')
			}
			group = s.Group
			fmt.Fprintf(&b, "%s:\n", group)
		}
		writeRow(&b, s.Name, public(&s, cfg), cfg.Source(s.Name))
	}
	for _, name := range []string{"app", "lowlevel_error_handler", "log_formatter", "custom_logger"} {
		if source := cfg.Source(name); source != "default" {
			writeRow(&b, name, "in the file", source)
		}
	}
	if len(cfg.Hooks) > 0 {
		b.WriteString("\nBlocks, and where they run:\n")
		for _, h := range cfg.Hooks {
			writeRow(&b, h.Written, h.Place, h.Source)
		}
	}
	if len(cfg.Notices) > 0 {
		b.WriteString("\nWithout effect:\n")
		for _, notice := range cfg.Notices {
			b.WriteString(wrap(notice, 80))
		}
	}
	io.WriteString(out, b.String())
}

// public is a setting's value without secrets: reports get around.
func public(s *config.Setting, cfg *config.Config) string {
	value := s.Value(cfg)
	if s.Name == "control-token" && value != "" && value != "none" {
		return "hidden"
	}
	return value
}

func writeRow(b *strings.Builder, name, value, source string) {
	if value == "" {
		value = "-"
	}
	if len(name) > nameWidth-3 || len(value) > valueWidth-1 {
		fmt.Fprintf(b, "  %-*s%s\n%*s%s\n", nameWidth-2, name, value, nameWidth+valueWidth, "", source)
		return
	}
	fmt.Fprintf(b, "  %-*s%-*s%s\n", nameWidth-2, name, valueWidth, value, source)
}

// wrap breaks a sentence into lines of at most width, indented by two, the later ones by four.
func wrap(text string, width int) string {
	var b strings.Builder
	line := " "
	for _, word := range strings.Fields(text) {
		if len(line)+1+len(word) > width && strings.TrimSpace(line) != "" {
			b.WriteString(line + "\n")
			line = "   "
		}
		line += " " + word
	}
	return b.String() + line + "\n"
}

// The JSON of serval config --json. Values are written as on the command line.
type (
	settingJSON struct {
		Value  string `json:"value"`
		Source string `json:"source"`
	}
	hookJSON struct {
		Name    string `json:"name"`
		Written string `json:"written"`
		Place   string `json:"runs_in"`
		Source  string `json:"source"`
	}
	bindJSON struct {
		URI    string `json:"uri"`
		Source string `json:"source"`
	}
	configJSON struct {
		Files    []string               `json:"files"`
		Settings map[string]settingJSON `json:"settings"`
		Binds    []bindJSON             `json:"binds"`
		Objects  map[string]string      `json:"objects"`
		Hooks    []hookJSON             `json:"hooks"`
		Notices  []string               `json:"notices"`
	}
)

func writeConfigJSON(out io.Writer, cfg *config.Config) error {
	report := configJSON{
		Files: append([]string{}, cfg.ConfigFiles...), Settings: map[string]settingJSON{}, Objects: map[string]string{},
		Binds: []bindJSON{}, Hooks: []hookJSON{}, Notices: append([]string{}, cfg.Notices...),
	}
	for _, s := range shown() {
		report.Settings[s.Name] = settingJSON{public(&s, cfg), cfg.Source(s.Name)}
	}
	for i, uri := range cfg.Binds {
		report.Binds = append(report.Binds, bindJSON{uri, cfg.BindSource(i)})
	}
	for _, name := range []string{"app", "lowlevel_error_handler", "log_formatter", "custom_logger"} {
		if source := cfg.Source(name); source != "default" {
			report.Objects[name] = source
		}
	}
	for _, h := range cfg.Hooks {
		report.Hooks = append(report.Hooks, hookJSON(h))
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(report)
}
