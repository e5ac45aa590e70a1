package definition

import (
	"testing"

	"github.com/weftmesh/weft/actors/workflow/language"
)

func TestLocate(t *testing.T) {
	t.Parallel()
	const source = `a: 1
list:
  - x
  - {y: 2, "p/q": 3, "t~": 4}
base: &base {z: 5}
alias: *base
`
	for pointer, want := range map[string][2]int{
		"": {1, 1}, "/a": {1, 4}, "/list": {3, 3}, "/list/0": {3, 5}, "/list/1/y": {4, 9}, "/list/1/p~1q": {4, 19}, "/list/1/t~0": {4, 28},
		"/alias/z":         {5, 17},
		"/list/7":          {3, 3}, // no such element: the list
		"/list/x":          {3, 3},
		"/list/-1":         {3, 3},
		"/a/b":             {1, 4}, // a scalar has no children
		"/nowhere/further": {1, 1},
	} {
		if line, column := language.ReadSource([]byte(source)).Position(pointer); line != want[0] || column != want[1] {
			t.Errorf("%s is at %d:%d, want %d:%d", pointer, line, column, want[0], want[1])
		}
	}
	for _, unreadable := range []string{"", "a: [", "# only a comment\n"} {
		if line, column := language.ReadSource([]byte(unreadable)).Position("/a"); line != 1 || column != 1 {
			t.Errorf("in %q it is at %d:%d, want 1:1", unreadable, line, column)
		}
	}
	if line, column := language.ReadSource([]byte(`{"a": {"b": 1}}`)).Position("/a/b"); line != 1 || column != 13 {
		t.Errorf("in JSON it is at %d:%d, want 1:13", line, column)
	}
}

func TestFaultAt(t *testing.T) {
	t.Parallel()
	f := faultAt(language.ReadSource([]byte("a:\n  b: 1\n")), "/a/b", "value", "wrong")
	if f.Line != 2 || f.Column != 6 || f.Pointer != "/a/b" || f.Code != "value" || f.Message != "wrong" {
		t.Errorf("fault %+v", f)
	}
}
