//go:build conformance

package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.yaml.in/yaml/v3"

	"github.com/weftmesh/weft/actors/actortest"
)

const monitoring = "../deploy/monitoring/"

// ruleGroups are the rules of weft.rules.yaml.
type ruleGroups struct {
	Groups []struct {
		Rules []struct {
			Record, Alert, Expr string
			Annotations         map[string]string
		}
	}
}

func readRules(t *testing.T) (rules ruleGroups, text []byte) {
	t.Helper()
	text, err := os.ReadFile(monitoring + "weft.rules.yaml")
	if err == nil {
		err = yaml.Unmarshal(text, &rules)
	}
	if err != nil {
		t.Fatal(err)
	}
	return rules, text
}

// TestAlerts has promtool check the rules and run their tests. Each alert has a test in which it fires, one in which it does not, and a runbook.
func TestAlerts(t *testing.T) {
	promtool := debian(t, "promtool", "prometheus")
	for _, args := range [][]string{
		{"check", "rules", "--lint-fatal", monitoring + "weft.rules.yaml"}, {"test", "rules", monitoring + "weft.test.yaml"},
		{"check", "config", "--syntax-only", monitoring + "prometheus.yml"},
	} {
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
	var tests struct{ Tests []struct{ Name string } }
	data, err := os.ReadFile(monitoring + "weft.test.yaml")
	if err == nil {
		err = yaml.Unmarshal(data, &tests)
	}
	if err != nil {
		t.Fatal(err)
	}
	rules, _ := readRules(t)
	var runbooks []string
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			if rule.Alert == "" {
				continue
			}
			file := "../docs/runbooks/" + rule.Alert + ".md"
			runbooks = append(runbooks, file)
			if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), rule.Expr) || !strings.HasSuffix(rule.Annotations["runbook_url"], file[2:]) {
				t.Errorf("the runbook of %s is missing, or of another expression: %v", rule.Alert, err)
			}
			for _, name := range []string{rule.Alert + " fires", rule.Alert + " does not fire"} {
				if !slices.ContainsFunc(tests.Tests, func(test struct{ Name string }) bool { return test.Name == name }) {
					t.Errorf("there is no test %q", name)
				}
			}
		}
	}
	if found, err := filepath.Glob("../docs/runbooks/*.md"); err != nil || len(found) != len(runbooks) {
		t.Errorf("there are %d runbooks for %d alerts: %v", len(found), len(runbooks), err)
	}
}

// TestQueriesHaveData runs weft on PostgreSQL under the load of the demo, and a Prometheus that scrapes it: every query of every dashboard has an
// answer, and every metric that an alert names exists. promlint finds nothing in the metrics.
func TestQueriesHaveData(t *testing.T) {
	prometheus := debian(t, "prometheus", "prometheus")
	settings := []string{"WEFT_METRICS_PORT=-1", "WEFT_GATEWAY_LIMITS_ENABLED=false"}
	for _, kind := range actortest.Databases(t) {
		if kind.Name == "postgres" {
			settings = append(settings, "WEFT_DATABASE_URL="+postgresSchemas(t, kind))
		}
	}
	weft := startWeft(t, t.TempDir(), settings...)
	dir, address := t.TempDir(), freePort(t)
	rules, text := readRules(t)
	// The test does not wait for the intervals of production.
	quick := regexp.MustCompile(`interval: \d+s`).ReplaceAll(text, []byte("interval: 1s"))
	target := strings.TrimSuffix(strings.TrimPrefix(weft.ready.Metrics, "http://"), "/metrics")
	config := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [weft.rules.yaml]\n"+
		"scrape_configs:\n  - {job_name: weft, static_configs: [{targets: [%q]}]}\n", target)
	for name, data := range map[string][]byte{"weft.rules.yaml": quick, "prometheus.yml": []byte(config)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	startProgram(t, program{
		name: "prometheus", path: prometheus, env: os.Environ(), accepts: address,
		args: []string{"--config.file", filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", address},
	})
	playDemo(t, weft)

	queries := dashboardQueries(t)
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			for _, metric := range metricNames(rule.Expr) {
				queries["rule "+rule.Record+rule.Alert+": "+metric] = metric
			}
		}
	}
	if len(queries) < 60 {
		t.Fatalf("there are %d queries", len(queries))
	}
	for until := time.Now().Add(waitTimeout); len(queries) > 0; {
		for name, query := range queries {
			if answers(t, address, query) {
				delete(queries, name)
			} else if time.Now().After(until) {
				t.Errorf("without an answer: %s: %s", name, query)
				delete(queries, name)
			}
		}
		playDemo(t, weft)
	}

	response, err := http.Get(weft.ready.Metrics)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	problems, err := promlint.New(response.Body).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("promlint: %s: %s", p.Metric, p.Text)
	}
}

// playDemo is the load.
func playDemo(t *testing.T, weft *running) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), weft.path, "demo", "--url", weft.ready.HTTP).CombinedOutput(); err != nil {
		t.Fatalf("the demo: %v\n%s", err, out)
	}
}

// dashboardQueries returns the expressions of the dashboards by dashboard and panel.
func dashboardQueries(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(monitoring + "dashboards/*.json")
	if err != nil || len(files) < 8 {
		t.Fatalf("there are %d dashboards: %v", len(files), err)
	}
	queries := map[string]string{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var board struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(data, &board); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, panel := range board.Panels {
			for i, target := range panel.Targets {
				name := fmt.Sprintf("%s, %s, %d", filepath.Base(file), panel.Title, i)
				queries[name] = strings.ReplaceAll(target.Expr, "$__rate_interval", "1m")
			}
		}
	}
	return queries
}

var metricName = regexp.MustCompile(`\b(?:weft|auth|integration|workflow|consent|notification|process|go)_[a-z_]+|\bweft:[a-z_0-9:]+|\bup\b`)

// metricNames returns the metrics that an expression names.
func metricNames(expr string) []string {
	return slices.Compact(slices.Sorted(slices.Values(metricName.FindAllString(regexp.MustCompile(`"[^"]*"`).ReplaceAllString(expr, ""), -1))))
}

// answers reports whether Prometheus has a series for a query now.
func answers(t *testing.T, address, query string) bool {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Get("http://" + address + "/api/v1/query?" + url.Values{"query": {query}}.Encode())
	if err != nil {
		return false
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return false
	}
	var result struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	if err := json.Unmarshal(body, &result); err != nil || result.Status != "success" {
		t.Fatalf("the query %s: %v %s", query, err, body)
	}
	return len(result.Data.Result) > 0
}
