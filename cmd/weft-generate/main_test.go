package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/cmd/weft/settings"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// TestCommittedFilesAreCurrent compares every generated file with the repository's.
func TestCommittedFilesAreCurrent(t *testing.T) {
	t.Parallel()
	dir, files := t.TempDir(), 0
	if err := generate(dir); err != nil {
		t.Fatal(err)
	}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		generated, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		committed, err := os.ReadFile(filepath.Join("..", "..", name))
		if err != nil || !bytes.Equal(generated, committed) {
			t.Errorf("%s is not current, run make generate (%v)", name, err)
		}
		return nil
	})
	if err != nil || files != 8 {
		t.Errorf("%d files are generated: %v", files, err)
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   []string
		code   int
		stderr string
	}{
		{[]string{t.TempDir()}, 0, ""}, {[]string{"--help"}, 2, "usage: weft-generate [DIR]"}, {[]string{"a", "b"}, 2, "usage: "},
		{[]string{file}, 1, "weft-generate: "},
	} {
		var stderr bytes.Buffer
		if code := run(c.args, &stderr); code != c.code || !strings.HasPrefix(stderr.String(), c.stderr) {
			t.Errorf("%q: exit code %d, %s", c.args, code, stderr.String())
		}
	}
}

func TestSubjectsDocumentHasTheWholeContract(t *testing.T) {
	t.Parallel()
	document := subjectsDocument()
	for _, d := range subjects.Endpoints() {
		if !strings.Contains(document, "| `"+d.Subject+"` |") {
			t.Errorf("the endpoint %s is missing", d.Subject)
		}
	}
	for _, s := range subjects.Streams() {
		if !strings.Contains(document, "| "+s.Name+" |") {
			t.Errorf("the stream %s is missing", s.Name)
		}
	}
	for _, b := range kv.All() {
		if !strings.Contains(document, "| "+b.Name+" |") {
			t.Errorf("the bucket %s is missing", b.Name)
		}
	}
}

func TestTextIsEscapedForMarkdown(t *testing.T) {
	t.Parallel()
	if got := cell("a|b\nc"); got != `a\|b c` {
		t.Errorf("a cell is %q", got)
	}
	if got := line("a\n  <b>"); got != "a &lt;b>" {
		t.Errorf("a line is %q", got)
	}
	if got := words("developer_tools"); got != "Developer tools" {
		t.Errorf("a heading is %q", got)
	}
	for d, want := range map[time.Duration]string{time.Hour: "1h", 90 * time.Second: "1m30s", 24 * time.Hour: "24h", time.Second: "1s", 90 * time.Minute: "1h30m"} {
		if got := settings.DurationText(d); got != want {
			t.Errorf("%s is written %q, want %q", d, got, want)
		}
	}
}

func TestKindOfAProperty(t *testing.T) {
	t.Parallel()
	for want, property := range map[string]map[string]any{
		"`a`, `b`":        {"type": "string", "enum": []any{"a", "b"}},
		"string":          {"type": "string"},
		"list of integer": {"type": "array", "items": map[string]any{"type": "integer"}},
		"string or null":  {"type": []any{"string", "null"}},
		"":                {},
		"array":           {"type": "array", "items": map[string]any{}},
	} {
		if got := kindOf(property); got != want {
			t.Errorf("%v is %q, want %q", property, got, want)
		}
	}
}

func TestRequiredPropertiesComeFirst(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	writeProperties(&b, "", map[string]any{
		"required":   []any{"z"},
		"properties": map[string]any{"a": map[string]any{"title": "First"}, "z": map[string]any{"type": "string", "title": "T", "description": "Last\nletter"}},
	})
	if want := "- `z`* (string): Last letter\n- `a`: First\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}
