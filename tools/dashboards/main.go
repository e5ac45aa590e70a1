// Command dashboards writes weft's Grafana dashboards as JSON: one for the whole, one for the gateway and for each actor, one for the messages between them. They
// need a data source for Prometheus, which a variable selects, and the scrape jobs of deploy/monitoring/prometheus.yml.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// board is a dashboard.
type board struct {
	name, title, doc string
	rows             []row
}

type row struct {
	title  string
	panels []panel
}

// panel is a time series. unit is Grafana's name of the unit.
type panel struct {
	title, doc, unit string
	queries          []query
}

// query is an expression of Prometheus and the legend of its series.
type query struct{ expr, legend string }

func main() {
	dir := "../deploy/monitoring/dashboards"
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	if err := write(dir); err != nil {
		fmt.Fprintln(os.Stderr, "dashboards:", err)
		os.Exit(1)
	}
}

// write replaces the dashboards in a folder.
func write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, b := range boards {
		built, err := b.build()
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		data, err := json.MarshalIndent(built, "", "  ")
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, b.name+".json"), append(data, '\n'), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (b board) build() (dashboard.Dashboard, error) {
	builder := dashboard.NewDashboardBuilder(b.title).
		Uid("weft-"+b.name).Description(b.doc).Tags([]string{"weft"}).Timezone("browser").Time("now-1h", "now").Refresh("30s").
		Tooltip(dashboard.DashboardCursorSyncCrosshair).
		WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Data source").Type("prometheus")).
		Link(dashboard.NewDashboardLinkBuilder("weft").Type(dashboard.DashboardLinkTypeDashboards).Tags([]string{"weft"}).AsDropdown(true))
	for _, r := range b.rows {
		builder.WithRow(dashboard.NewRowBuilder(r.title))
		for _, p := range r.panels {
			builder.WithPanel(p.build())
		}
	}
	return builder.Build()
}

// source is the data source that the variable selects.
var source = common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("${datasource}")}

func (p panel) build() *timeseries.PanelBuilder {
	builder := timeseries.NewPanelBuilder().Title(p.title).Description(p.doc).Unit(p.unit).Datasource(source).
		Height(8).Span(8).Min(0).FillOpacity(8).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom).ShowLegend(true)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending))
	for i, q := range p.queries {
		builder.WithTarget(prometheus.NewDataqueryBuilder().Expr(q.expr).LegendFormat(q.legend).RefId(string(rune('A' + i))))
	}
	return builder
}
