package chart_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
)

const chartDir = "../../deploy/chart"

// values is what a user gives to helm with -f, a later entry over an earlier one: names of files beside the chart, or YAML.
type values []string

// merge returns the values as Helm merges them.
func (v values) merge(t *testing.T) map[string]any {
	t.Helper()
	merged := map[string]any{}
	for _, text := range v {
		data := []byte(text)
		if strings.HasSuffix(text, ".yaml") {
			var err error
			if data, err = os.ReadFile(filepath.Join(chartDir, text)); err != nil {
				t.Fatal(err)
			}
		}
		read, err := chartutil.ReadValues(data)
		if err != nil {
			t.Fatal(err)
		}
		merged = chartutil.CoalesceTables(read.AsMap(), merged)
	}
	return merged
}

// render renders the chart for a release and returns its objects in YAML by the names of their templates.
func render(t *testing.T, release string, v values) (map[string]string, error) {
	t.Helper()
	c, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	options := chartutil.ReleaseOptions{Name: release, Namespace: "weft", Revision: 1, IsInstall: true}
	given, err := chartutil.ToRenderValues(c, v.merge(t), options, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, given)
}

// object is a rendered object.
type object struct {
	template string
	text     []byte
	value    map[string]any
}

func (o object) kind() string { return text(o.value, "kind") }
func (o object) name() string { return text(o.value, "metadata", "name") }

// objects renders the chart and returns its objects, those of the notes excluded.
func objects(t *testing.T, release string, v values) []object {
	t.Helper()
	files, err := render(t, release, v)
	if err != nil {
		t.Fatalf("release %q: %v", release, err)
	}
	var names []string
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	var list []object
	for _, name := range names {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		decoder := yaml.NewDecoder(strings.NewReader(files[name]))
		for {
			var value map[string]any
			err := decoder.Decode(&value)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("release %q: %s: %v\n%s", release, name, err, files[name])
			}
			if value == nil {
				continue
			}
			encoded, err := yaml.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, object{filepath.Base(name), encoded, value})
		}
	}
	return list
}

// find returns the object of a kind and name.
func find(t *testing.T, list []object, kind, name string) object {
	t.Helper()
	for _, o := range list {
		if o.kind() == kind && o.name() == name {
			return o
		}
	}
	var names bytes.Buffer
	for _, o := range list {
		names.WriteString(" " + o.kind() + "/" + o.name())
	}
	t.Fatalf("there is no %s %s among%s", kind, name, names.String())
	return object{}
}

// at returns what is at a path of keys and indexes; nil if there is nothing.
func at(value any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := value.(map[string]any)
			value = m[step]
		case int:
			l, _ := value.([]any)
			if step >= len(l) {
				return nil
			}
			value = l[step]
		}
	}
	return value
}

func text(value any, path ...any) string {
	s, _ := at(value, path...).(string)
	return s
}
