package generation

import (
	"strconv"
	"strings"
)

// settings are the lines that docs/reference/wire.md lists.
func (g *Generation) settings(dir string, index int) []string {
	cfg := &g.Config
	flag := func(on bool) string {
		if on {
			return "1"
		}
		return "0"
	}
	settings := []string{
		"index=" + strconv.Itoa(index),
		"threads=" + strconv.Itoa(cfg.MaxThreads),
		"workers=" + strconv.Itoa(cfg.Workers),
		"rackup=" + g.within(dir, cfg.Rackup),
		"early_hints=" + flag(cfg.EarlyHints),
		"tag=" + cfg.Tag,
		"environment=" + cfg.Environment,
		"include=" + strings.Join(cfg.Include, ":"),
		"version=" + g.version,
		"environment=" + cfg.Environment,
		"config=" + g.configFiles(dir),
		"plugins=" + strings.Join(cfg.Plugins, ","),
		"yjit=" + cfg.YJIT,
		"accelerator=" + cfg.Accelerator,
		"log_format=" + cfg.LogFormat,
		"debug_pages=" + flag(cfg.Environment == "development" || cfg.Environment == "test"),
	}
	if cfg.OutOfBandGC {
		settings = append(settings, "out_of_band_gc=1")
	}
	if cfg.HijackTimeout > 0 {
		settings = append(settings, "hijack_timeout="+strconv.FormatFloat(cfg.HijackTimeout.Seconds(), 'f', -1, 64))
	}
	if len(cfg.ConfigFiles) > 0 {
		files := make([]string, len(cfg.ConfigFiles))
		for i, file := range cfg.ConfigFiles {
			files[i] = g.within(dir, file)
		}
		settings = append(settings, "config="+strings.Join(files, ":"))
	}
	if cfg.RedirectStdout != "" {
		settings = append(settings, "stdout="+cfg.RedirectStdout)
	}
	if cfg.RedirectStderr != "" {
		settings = append(settings, "stderr="+cfg.RedirectStderr)
	}
	if cfg.Gemfile != "" {
		settings = append(settings, "bundle_gemfile="+g.within(dir, cfg.Gemfile))
	}
	return settings
}

// configFiles are the configuration files of this generation's release, joined by colons.
func (g *Generation) configFiles(dir string) string {
	files := make([]string, len(g.Config.ConfigFiles))
	for i, path := range g.Config.ConfigFiles {
		files[i] = g.within(dir, path)
	}
	return strings.Join(files, ":")
}
