package main

import (
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// dashboardModel reads a dashboard of Grafana, in which an unknown or missing field is an error: also one of a panel's
// options, or of a query to Prometheus.
func dashboardModel(path string) (any, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	runtime := cog.NewRuntime()
	runtime.RegisterPanelcfgVariant(stat.VariantConfig())
	runtime.RegisterPanelcfgVariant(table.VariantConfig())
	runtime.RegisterPanelcfgVariant(timeseries.VariantConfig())
	runtime.RegisterDataqueryVariant(prometheus.VariantConfig())
	var model dashboard.Dashboard
	if err := worded(model.UnmarshalJSONStrict(text)); err != nil {
		return nil, err
	}
	return model, worded(model.Validate())
}

// worded is the error, if it says anything: the library's lists of errors are errors even when they are empty.
func worded(err error) error {
	if err != nil && err.Error() == "" {
		return nil
	}
	return err
}
