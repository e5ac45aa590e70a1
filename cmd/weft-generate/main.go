// Command weft-generate writes the files that are derived from the contract and the provider manifests: nats.conf,
// docs/subjects.md, docs/openapi.json, docs/providers.md and docs/provider.schema.json. `make generate` runs it, and CI checks
// that the committed files are current.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/gateway"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const usage = "usage: weft-generate [DIR]\n\nWrites the derived files below DIR, by default the current folder. Exit codes: 0 done, 1 failed, 2 wrong usage."

func main() {
	dir := "."
	switch args := os.Args[1:]; {
	case len(args) > 1 || len(args) == 1 && strings.HasPrefix(args[0], "-"):
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	case len(args) == 1:
		dir = args[0]
	}
	if err := generate(dir); err != nil {
		fmt.Fprintln(os.Stderr, "weft-generate:", err)
		os.Exit(1)
	}
}

func generate(dir string) error {
	openapi, err := gateway.OpenAPI()
	if err != nil {
		return fmt.Errorf("making the OpenAPI document: %w", err)
	}
	providers, err := providersDocument()
	if err != nil {
		return fmt.Errorf("making the document of providers: %w", err)
	}
	for name, content := range map[string][]byte{
		"nats.conf":         []byte(mesh.RenderConf()),
		"docs/subjects.md":  []byte(subjectsDocument()),
		"docs/openapi.json": openapi,
		"docs/providers.md": []byte(providers), "docs/provider.schema.json": manifest.Schema,
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			return fmt.Errorf("making the folder of %s: %w", name, err)
		}
		if err := os.WriteFile(file, content, 0o644); err != nil { //nolint:gosec // documents are for everybody
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}

// subjectsDocument is the catalogue of the contract, for people.
func subjectsDocument() string {
	var b strings.Builder
	b.WriteString("# Subjects\n\nGenerated from the package `subjects` by `make generate`; CI checks that it is current.\n")
	for _, actor := range subjects.Actors() {
		fmt.Fprintf(&b, "\n## %s\n\n| subject | route | who may call | consent | limits | what it does |\n| --- | --- | --- | --- | --- | --- |\n", actor)
		for _, d := range subjects.Endpoints() {
			if d.Actor == actor {
				writeEndpoint(&b, d)
			}
		}
	}
	b.WriteString("\n## Events\n\n| subject | what it tells |\n| --- | --- |\n")
	for _, e := range subjects.AllEvents() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", e.Subject, cell(e.Doc))
	}
	b.WriteString("\n## Jobs\n\n| subject | stream | what it is |\n| --- | --- | --- |\n")
	for _, j := range subjects.AllJobs() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", j.Subject, j.Stream.Name, cell(j.Doc))
	}
	b.WriteString("\n## Streams\n\n| stream | subjects | kept | written by | what it holds |\n| --- | --- | --- | --- | --- |\n")
	for _, s := range subjects.Streams() {
		kept := "for good"
		switch {
		case s.Retention == subjects.RetainWork:
			kept = "until worked off"
		case s.MaxAge > 0:
			kept = s.MaxAge.String()
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %s |\n", s.Name, strings.Join(s.Subjects, "` `"), kept, strings.Join(s.Writers, ", "), cell(s.Doc))
	}
	b.WriteString("\n## Buckets\n\n| bucket | written by | read by | what it holds |\n| --- | --- | --- | --- |\n")
	for _, s := range kv.All() {
		writers := s.Owner
		if s.PerWriter() {
			writers = strings.Join(s.Writers, ", ") + " (each below its own name)"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", s.Name, writers, strings.Join(s.Readers, ", "), cell(s.Doc))
	}
	b.WriteString("\n## Object stores\n\n| store | written and read by | what it holds |\n| --- | --- | --- |\n")
	for _, s := range kv.ObjectStores() {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", s.Name, s.Owner, cell(s.Doc))
	}
	b.WriteString("\n## Error codes\n\n| code | HTTP | title |\n| --- | --- | --- |\n")
	for _, c := range subjects.Codes() {
		fmt.Fprintf(&b, "| `%s` | %d | %s |\n", c, c.Status(), c.Title())
	}
	return b.String()
}

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

// cell makes text fit into a table.
func cell(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\n", " "), "|", "\\|")
}
