package e2e_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestArticlesNameTests: each test that the table by article of docs/consent.md names exists, each row names one, and each section that a row
// names is on the page.
func TestArticlesNameTests(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/consent.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	declaration := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err = filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, match := range declaration.FindAllSubmatch(source, -1) {
			tests[string(match[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(page), "\n## By article\n")
	rows := 0
	for line := range strings.SplitSeq(table, "\n") {
		cells := strings.Split(line, " | ")
		if !found || len(cells) != 4 || strings.HasPrefix(line, "| ---") || strings.HasPrefix(line, "| article") {
			continue
		}
		rows++
		named := regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(cells[3], -1)
		if len(named) == 0 {
			t.Errorf("no test: %s", line)
		}
		for _, match := range named {
			if !tests[match[1]] {
				t.Errorf("there is no test %s: %s", match[1], cells[0])
			}
		}
		for place := range strings.SplitSeq(cells[2], ", ") {
			if !strings.HasPrefix(place, "[") && !strings.Contains(string(page), "## "+place+"\n") {
				t.Errorf("the page has no section %q: %s", place, cells[0])
			}
		}
	}
	if rows < 20 {
		t.Errorf("only %d rows", rows)
	}
}
