package template_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/text/language"

	"github.com/weftmesh/weft/actors/notification/template"
)

// document returns docs/templates.md, and section what is below one of its headings.
func document(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/templates.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func section(t *testing.T, heading string) string {
	t.Helper()
	_, below, found := strings.Cut(document(t), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("docs/templates.md has no section %q", heading)
	}
	below, _, _ = strings.Cut(below, "\n## ")
	return below
}

var (
	docsExample = regexp.MustCompile("(?s)```handlebars\n(.*?)```\n\n```json\n(.*?)```\n\n```text\n(.*?)```")
	codeSpan    = regexp.MustCompile("`([^`]+)`")
)

// TestDocsExamples renders the examples of docs/templates.md: the blocks, and each row of the table of helpers.
func TestDocsExamples(t *testing.T) {
	t.Parallel()
	examples := docsExample.FindAllStringSubmatch(document(t), -1)
	for line := range strings.Lines(section(t, "Helpers")) {
		if spans := codeSpan.FindAllStringSubmatch(line, -1); strings.HasPrefix(line, "| `") {
			examples = append(examples, []string{line, spans[0][1], spans[1][1], spans[2][1]})
		}
	}
	if len(examples) < 19 {
		t.Fatalf("%d examples", len(examples))
	}
	for _, example := range examples {
		set, err := template.Compile(template.Sources{Name: "docs", Kind: template.Message, Text: example[1], Locale: language.English})
		if err != nil {
			t.Errorf("%s: %v", example[1], err)
			continue
		}
		if out, _, err := set.Render(env(t, example[2]), nil, false); err != nil || out.Text != example[3] {
			t.Errorf("%s: %q, %v, want %q", example[1], out.Text, err, example[3])
		}
	}
}

// TestDocsSubset parses what the tables say is in the subset, inside of loops, and what is refused, outside of them.
func TestDocsSubset(t *testing.T) {
	t.Parallel()
	subset, refused, _ := strings.Cut(section(t, "The subset"), "Refused, among others")
	accepted := 0
	for line := range strings.Lines(subset) {
		cells := strings.Split(line, " | ")
		for _, span := range codeSpan.FindAllStringSubmatch(cells[0], -1) {
			if source := strings.ReplaceAll(span[1], "helper a", "or a"); strings.Contains(source, "{{") {
				accepted++
				source = "{{#each a}}{{#each b}}" + source + closed(source) + "{{/each}}{{/each}}"
				source = strings.ReplaceAll(source, "or a b key=value", "or a b")
				source = strings.ReplaceAll(source, "(or a)", "(or a b)")
				if _, err := template.Parse(source, template.Options{Part: template.HTML, Kind: template.Message}); err != nil {
					t.Errorf("%s: %v", source, err)
				}
			}
		}
	}
	rejected := 0
	for line := range strings.Lines(refused) {
		cells := strings.Split(strings.TrimPrefix(line, "| "), " | ")
		for _, span := range codeSpan.FindAllStringSubmatch(cells[0], -1) {
			if !strings.Contains(span[1], "{{") || !strings.HasPrefix(line, "|") {
				continue
			}
			rejected++
			if _, err := template.Parse(strings.ReplaceAll(span[1], `\|`, "|"), template.Options{Part: template.HTML, Kind: template.Message}); err == nil {
				t.Errorf("%s is accepted", span[1])
			}
		}
	}
	if accepted < 25 || rejected < 15 {
		t.Errorf("%d accepted and %d refused examples", accepted, rejected)
	}
}

// closed returns the closing tag that an example leaves out.
func closed(source string) string {
	if strings.HasPrefix(source, "{{#if (") {
		return "{{/if}}"
	}
	return ""
}

// TestDocsLists: every shipped template and helper is documented, and the counts of the suite are those of the test.
func TestDocsLists(t *testing.T) {
	t.Parallel()
	sets, err := template.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	shipped := section(t, "What weft ships")
	for _, set := range sets {
		if !strings.Contains(shipped, "`"+set.Name+"`") {
			t.Errorf("%s is not documented", set.Name)
		}
	}
	helpers := section(t, "Helpers")
	for _, name := range template.HelperNames() {
		if !regexp.MustCompile(`[{(]` + name + ` `).MatchString(helpers) {
			t.Errorf("the helper %s has no example", name)
		}
	}
	conformance := strings.Join(strings.Fields(section(t, "Conformance")), " ")
	want := fmt.Sprintf("%d: %d render to the same text, %d are refused with a position, and %d need", specRendered+specRefused+specOther, specRendered, specRefused, specOther)
	if !strings.Contains(strings.ReplaceAll(conformance, "449, run in weft's tests", "449"), want) {
		t.Errorf("the conformance section does not say %q", want)
	}
}
