// Command weft-generate writes the files that are derived from the contract and the provider manifests: nats.conf,
// docs/subjects.md, docs/openapi.json, docs/providers.md, docs/provider.schema.json, docs/settings.md and the descriptions of settings that
// `weft config` prints. `make generate` runs it in the repository, whose source has the descriptions; CI fails if a committed file differs.
//
//	main.go        the command and docs/subjects.md
//	providers.go   docs/providers.md
//	settings.go    docs/settings.md
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/gateway"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const usage = "usage: weft-generate [DIR]\n\n" +
	"Writes the derived files to DIR, by default the current directory. Exit codes: 0 success, 1 failure, 2 wrong usage."

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

// run runs a command line and returns the exit code.
func run(args []string, stderr io.Writer) int {
	dir := "."
	switch {
	case len(args) > 1 || len(args) == 1 && strings.HasPrefix(args[0], "-"):
		_, _ = fmt.Fprintln(stderr, usage)
		return 2
	case len(args) == 1:
		dir = args[0]
	}
	if err := generate(dir); err != nil {
		_, _ = fmt.Fprintln(stderr, "weft-generate:", err)
		return 1
	}
	return 0
}

// generate writes all derived files to dir.
func generate(dir string) error {
	openapi, err := gateway.OpenAPI(gateway.ReleaseVersion)
	if err != nil {
		return fmt.Errorf("generating the OpenAPI document: %w", err)
	}
	providers, err := providersDocument()
	if err != nil {
		return fmt.Errorf("generating the list of providers: %w", err)
	}
	described, err := describeSettings()
	if err != nil {
		return fmt.Errorf("describing the settings: %w", err)
	}
	descriptions, settings, err := settingsDocuments(described)
	if err != nil {
		return err
	}
	values, err := valuesSchema(described)
	if err != nil {
		return fmt.Errorf("generating the schema of the chart's values: %w", err)
	}
	for name, content := range map[string][]byte{
		"cmd/weft/settings/descriptions.json": descriptions, "docs/settings.md": settings,
		"deploy/chart/values.schema.json": values,
		"nats.conf":                       []byte(mesh.RenderConf()),
		"docs/subjects.md":                []byte(subjectsDocument()),
		"docs/openapi.json":               openapi,
		"docs/providers.md":               []byte(providers), "docs/provider.schema.json": manifest.Schema,
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			return fmt.Errorf("creating the directory of %s: %w", name, err)
		}
		if err := os.WriteFile(file, content, 0o644); err != nil { //nolint:gosec // documentation may be readable by all
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}

// subjectsDocument returns docs/subjects.md, the catalogue of the contract.
func subjectsDocument() string {
	var b strings.Builder
	b.WriteString("# Subjects\n\nGenerated from the package `subjects` by `make generate`; CI fails if it is not current.\n")
	for _, actor := range subjects.Actors() {
		fmt.Fprintf(&b, "\n## %s\n\n| subject | route | allowed callers | consent | limits | purpose |\n| --- | --- | --- | --- | --- | --- |\n", actor)
		for _, d := range subjects.Endpoints() {
			if d.Actor == actor {
				writeEndpoint(&b, d)
			}
		}
	}
	b.WriteString("\n## Events\n\n| subject | meaning |\n| --- | --- |\n")
	for _, e := range subjects.AllEvents() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", e.Subject, cell(e.Doc))
	}
	b.WriteString("\n## Jobs\n\n| subject | stream | purpose |\n| --- | --- | --- |\n")
	for _, j := range subjects.AllJobs() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", j.Subject, j.Stream.Name, cell(j.Doc))
	}
	b.WriteString("\n## Streams\n\n| stream | subjects | retention | written by | content |\n| --- | --- | --- | --- | --- |\n")
	for _, s := range subjects.Streams() {
		retention := "unlimited"
		switch {
		case s.Retention == subjects.RetainWork:
			retention = "until processed"
		case s.MaxAge > 0:
			retention = s.MaxAge.String()
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %s |\n", s.Name, strings.Join(s.Subjects, "` `"), retention, strings.Join(s.Writers, ", "), cell(s.Doc))
	}
	b.WriteString("\n## Buckets\n\n| bucket | written by | read by | content |\n| --- | --- | --- | --- |\n")
	for _, s := range kv.All() {
		writers := s.Owner
		if s.PerWriter() {
			writers = strings.Join(s.Writers, ", ") + " (each with its own key prefix)"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", s.Name, writers, strings.Join(s.Readers, ", "), cell(s.Doc))
	}
	b.WriteString("\n## Object stores\n\n| store | written and read by | content |\n| --- | --- | --- |\n")
	for _, s := range kv.ObjectStores() {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", s.Name, s.Owner, cell(s.Doc))
	}
	b.WriteString("\n## Error codes\n\n| code | HTTP | title |\n| --- | --- | --- |\n")
	for _, c := range subjects.Codes() {
		fmt.Fprintf(&b, "| `%s` | %d | %s |\n", c, c.Status(), c.Title())
	}
	return b.String()
}

// writeEndpoint writes the table row of an endpoint.
func writeEndpoint(b *strings.Builder, d *subjects.Descriptor) {
	route := "—"
	if d.Path != "" {
		route = "`" + d.HTTPMethod + " " + d.Path + "`"
	}
	consent := "—"
	if d.Consent != "" {
		consent = "`" + d.Consent + "`"
	}
	limits := "—"
	for i, l := range d.Limits {
		if i == 0 {
			limits = ""
		} else {
			limits += ", "
		}
		limits += fmt.Sprintf("%d per %s in %s", l.Requests, l.By, l.Period)
	}
	fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s | %s |\n", d.Subject, route, cell(d.Access.String()), consent, limits, cell(d.Doc))
}

// cell escapes text for a cell of a Markdown table.
func cell(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\n", " "), "|", "\\|")
}
