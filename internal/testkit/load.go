package testkit

import "serval/internal/load"

// The load generator under the names that tests know it by.
type (
	LoadConfig = load.Config
	LoadReport = load.Report
	Load       = load.Load
)

// StartLoad begins to send. Stop ends it.
func StartLoad(cfg LoadConfig) *Load { return load.Start(cfg) }
