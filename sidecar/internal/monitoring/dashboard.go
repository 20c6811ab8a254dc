package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
)

// What follows is the part of Grafana's dashboard model that is used here, of
// schema version 39 (Grafana 11). The dashboard has no identity of its own: the
// Grafana that imports it gives it one.

type dashboard struct {
	ID            *int       `json:"id"`
	Title         string     `json:"title"`
	Description   string     `json:"description"`
	Tags          []string   `json:"tags"`
	SchemaVersion int        `json:"schemaVersion"`
	Version       int        `json:"version"`
	Editable      bool       `json:"editable"`
	GraphTooltip  int        `json:"graphTooltip"`
	Refresh       string     `json:"refresh"`
	Time          timeRange  `json:"time"`
	Timezone      string     `json:"timezone"`
	Annotations   emptyList  `json:"annotations"`
	Links         []struct{} `json:"links"`
	Templating    templating `json:"templating"`
	Panels        []drawn    `json:"panels"`
}

type timeRange struct {
	From string `json:"from"`
	To   string `json:"to"`
}

type emptyList struct {
	List []struct{} `json:"list"`
}

type templating struct {
	List []variable `json:"list"`
}

type variable struct {
	Name       string      `json:"name"`
	Label      string      `json:"label"`
	Type       string      `json:"type"`
	Source     *dataSource `json:"datasource,omitempty"`
	Query      any         `json:"query"`
	Definition string      `json:"definition,omitempty"`
	Refresh    int         `json:"refresh"`
	Sort       int         `json:"sort"`
	Hide       int         `json:"hide"`
	Multi      bool        `json:"multi"`
	IncludeAll bool        `json:"includeAll"`
	Options    []struct{}  `json:"options"`
	Current    any         `json:"current,omitempty"`
}

type dataSource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

// source is the data source that the dashboard's variable names.
var source = &dataSource{Type: "prometheus", UID: "${datasource}"}

type drawn struct {
	ID          int          `json:"id"`
	Type        string       `json:"type"`
	Title       string       `json:"title"`
	Description string       `json:"description,omitempty"`
	Source      *dataSource  `json:"datasource,omitempty"`
	Grid        grid         `json:"gridPos"`
	Collapsed   *bool        `json:"collapsed,omitempty"`
	Panels      []drawn      `json:"panels,omitempty"`
	Targets     []target     `json:"targets,omitempty"`
	Fields      *fieldConfig `json:"fieldConfig,omitempty"`
	Options     any          `json:"options,omitempty"`
}

type grid struct {
	X int `json:"x"`
	Y int `json:"y"`
	W int `json:"w"`
	H int `json:"h"`
}

type target struct {
	Ref     string      `json:"refId"`
	Source  *dataSource `json:"datasource"`
	Expr    string      `json:"expr"`
	Legend  string      `json:"legendFormat"`
	Instant bool        `json:"instant,omitempty"`
}

type fieldConfig struct {
	Defaults  fieldDefaults `json:"defaults"`
	Overrides []override    `json:"overrides"`
}

type fieldDefaults struct {
	Unit       string            `json:"unit"`
	Min        *float64          `json:"min,omitempty"`
	Color      map[string]string `json:"color"`
	Thresholds thresholds        `json:"thresholds"`
	Custom     map[string]any    `json:"custom,omitempty"`
	Mappings   []any             `json:"mappings"`
}

// An override draws some series differently.
type override struct {
	Matcher    property   `json:"matcher"`
	Properties []property `json:"properties"`
}

type property struct {
	ID      string `json:"id"`
	Options any    `json:"options,omitempty"`
	Value   any    `json:"value,omitempty"`
}

type thresholds struct {
	Mode  string `json:"mode"`
	Steps []step `json:"steps"`
}

// A step has a value from which on the colour is drawn; the first has none.
type step struct {
	Color string   `json:"color"`
	Value *float64 `json:"value"`
}

// The grid is 24 wide.
const (
	gridWidth  = 24
	panelWidth = 8
	panelHigh  = 7
	statHigh   = 4
)

// dashboard returns the dashboard: what matters most on top, and a row for each
// part, which are open in the order of need.
func (c *catalogue) dashboard() ([]byte, error) {
	d := dashboard{
		Title: "Outrider", Description: "A sidecar of a Bitcoin node.", Tags: []string{"bitcoin", "outrider"},
		SchemaVersion: 39, Version: 1, Editable: true, GraphTooltip: 1, Refresh: "30s",
		Time: timeRange{"now-6h", "now"}, Annotations: emptyList{[]struct{}{}}, Links: []struct{}{},
		Templating: templating{variables()},
	}
	ids := 0
	number := func(p drawn) drawn { ids++; p.ID = ids; return p }
	y := 0
	for _, p := range overview() {
		d.Panels = append(d.Panels, number(p))
		y = max(y, p.Grid.Y+p.Grid.H)
	}
	for _, s := range c.sections {
		row := number(drawn{Type: "row", Title: s.title, Grid: grid{0, y, gridWidth, 1}, Collapsed: new(true)})
		y++
		panels, err := s.panels()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.title, err)
		}
		for i, p := range panels {
			across := gridWidth / panelWidth
			one := p.draw()
			one.Grid = grid{i % across * panelWidth, y + i/across*panelHigh, panelWidth, panelHigh}
			row.Panels = append(row.Panels, number(one))
		}
		d.Panels = append(d.Panels, row)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(d)
	return b.Bytes(), err
}

// variables returns what the reader of the dashboard chooses.
func variables() []variable {
	instances := fmt.Sprintf("label_values(up{job=%q}, instance)", job)
	return []variable{
		{
			Name: "datasource", Label: "Data source", Type: "datasource", Query: "prometheus",
			Refresh: 1, Options: []struct{}{},
		},
		{
			Name: "instance", Label: "Sidecar", Type: "query", Source: source,
			Query:      map[string]any{"qryType": 1, "query": instances, "refId": "instance"},
			Definition: instances, Refresh: 2, Sort: 1, Multi: true, IncludeAll: true, Options: []struct{}{},
			Current: map[string]any{"selected": true, "text": []string{"All"}, "value": []string{"$__all"}},
		},
	}
}

// overview returns what stands on top.
func overview() []drawn {
	stat := func(x int, title, expr string, limits ...step) drawn {
		return drawn{
			Type: "stat", Title: title, Source: source, Grid: grid{x, 0, 6, statHigh},
			Targets: []target{{Source: source, Expr: expr, Legend: "{{instance}}", Ref: "A"}},
			Fields: &fieldConfig{
				Defaults: fieldDefaults{
					Unit: "none", Color: map[string]string{"mode": "thresholds"}, Thresholds: thresholds{"absolute", limits}, Mappings: []any{},
				},
				Overrides: []override{},
			},
			Options: map[string]any{
				"colorMode": "background", "graphMode": "none", "justifyMode": "auto", "textMode": "auto", "orientation": "auto",
				"wideLayout": true, "showPercentChange": false, "percentChangeColorMode": "standard",
				"reduceOptions": map[string]any{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
			},
		}
	}
	up := stat(0, "Answers", fmt.Sprintf(`up{job=%q, instance=~"$instance"}`, job), from("red"), at("green", 1))
	up.Fields.Defaults.Mappings = []any{map[string]any{
		"type": "value", "options": map[string]any{"0": map[string]any{"text": "no", "index": 0}, "1": map[string]any{"text": "yes", "index": 1}},
	}}
	alerts := drawn{
		Type: "state-timeline", Title: "Alerts", Source: source, Grid: grid{0, statHigh, gridWidth, panelHigh},
		Description: "What is pending (1) or firing (2), by the rules of deploy/prometheus.",
		Targets: []target{{
			Source: source, Legend: "{{alertname}} {{instance}}", Ref: "A",
			Expr: `max by (alertname, instance) (ALERTS{alertname=~"Outrider.+", alertstate="pending", instance=~"$instance"} ` +
				`or 2 * ALERTS{alertname=~"Outrider.+", alertstate="firing", instance=~"$instance"})`,
		}},
		Fields: &fieldConfig{
			Defaults: fieldDefaults{
				Unit: "none", Color: map[string]string{"mode": "thresholds"}, Mappings: []any{map[string]any{
					"type": "value", "options": map[string]any{"1": map[string]any{"text": "pending", "index": 0}, "2": map[string]any{"text": "firing", "index": 1}},
				}},
				Thresholds: thresholds{"absolute", []step{from("yellow"), at("red", 2)}},
				Custom:     map[string]any{"fillOpacity": 70, "lineWidth": 0},
			},
			Overrides: []override{},
		},
		Options: map[string]any{
			"mergeValues": true, "showValue": "auto", "rowHeight": 0.9,
			"legend":  legend(false),
			"tooltip": map[string]any{"mode": "single", "sort": "none"},
		},
	}
	return []drawn{
		up,
		stat(6, "Verdicts that differ", shownWhere("outrider_block_verdicts_total", `outcome="differ"`), from("green"), at("red", 1)),
		stat(12, "Blocks behind", shown("outrider_chain_blocks_behind"), from("green"), at("yellow", 2), at("red", 6)),
		stat(18, "Height", shown("outrider_judged_height"), from("blue")),
		alerts,
	}
}

// shownWhere is shown for the series that a matcher of a label selects.
func shownWhere(name, matcher string) string {
	return fmt.Sprintf(`%s{%s, instance=~"$instance"}`, name, matcher)
}

func from(color string) step              { return step{Color: color} }
func at(color string, value float64) step { return step{Color: color, Value: &value} }

func legend(shown bool) map[string]any {
	return map[string]any{"displayMode": "list", "placement": "bottom", "showLegend": shown, "calcs": []string{}}
}

// draw returns p as a time series, with the limit of its alerts as a line. Where that
// is 0, what is above it is red, as series are that alone have an alert.
func (p *panel) draw() drawn {
	defaults := fieldDefaults{
		Unit: p.metrics[0].drawnIn(), Color: map[string]string{"mode": "palette-classic"}, Mappings: []any{},
		Thresholds: thresholds{"absolute", []step{from("green")}},
		Custom:     map[string]any{"fillOpacity": 8, "lineWidth": 1, "showPoints": "never", "spanNulls": false},
	}
	if p.metrics[0].Kind != "gauge" {
		defaults.Min = new(0.0)
	}
	if limit, there := p.limit(); there {
		defaults.Thresholds.Steps = append(defaults.Thresholds.Steps, at("red", math.Nextafter(limit, math.Inf(1))))
		if limit > 0 {
			defaults.Thresholds.Steps[1] = at("red", limit)
			defaults.Custom["thresholdsStyle"] = map[string]string{"mode": "line"}
		} else if len(p.metrics) == 1 {
			defaults.Color["mode"] = "thresholds"
		}
	}
	overrides := []override{}
	for _, begin := range p.alerted() {
		overrides = append(overrides, override{
			property{ID: "byRegexp", Options: begin},
			[]property{{ID: "color", Value: map[string]string{"mode": "fixed", "fixedColor": "red"}}},
		})
	}
	return drawn{
		Type: "timeseries", Title: p.title, Description: p.help(), Source: source, Targets: p.queries(),
		Fields: &fieldConfig{Defaults: defaults, Overrides: overrides},
		Options: map[string]any{
			"legend":  legend(true),
			"tooltip": map[string]any{"mode": "multi", "sort": "desc"},
		},
	}
}
