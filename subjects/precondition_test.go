package subjects_test

import (
	"errors"
	"testing"

	"github.com/weftmesh/weft/subjects"
)

// TestPreconditionCheck: strong comparison in a list of tags, and which lists are malformed.
func TestPreconditionCheck(t *testing.T) {
	t.Parallel()
	const none subjects.Code = ""
	for list, want := range map[string]subjects.Code{
		"":                  none,
		"*":                 none,
		" * ":               none,
		`"3"`:               none,
		`"2", "3"`:          none,
		`"2","3"`:           none,
		`, "3" ,`:           none,
		`"a,b", "3"`:        none,
		`W/"3", "3"`:        none,
		`"3-gzip"`:          none,
		`"3-zstd"`:          none,
		`"3-br"`:            subjects.CodePreconditionFailed,
		`"4"`:               subjects.CodePreconditionFailed,
		`"03"`:              subjects.CodePreconditionFailed,
		`W/"3"`:             subjects.CodePreconditionFailed,
		`""`:                subjects.CodePreconditionFailed,
		`"a\"`:              subjects.CodePreconditionFailed,
		`3`:                 subjects.CodeInvalid,
		`"3`:                subjects.CodeInvalid,
		`"3" "4"`:           subjects.CodeInvalid,
		`"3", *`:            subjects.CodeInvalid,
		`w/"3"`:             subjects.CodeInvalid,
		`"3 4"`:             subjects.CodeInvalid,
		"\"3\x00\"":         subjects.CodeInvalid,
		`,`:                 subjects.CodeInvalid,
		`W/`:                subjects.CodeInvalid,
		`"2", "3", garbage`: subjects.CodeInvalid,
	} {
		err := subjects.Precondition{IfMatch: list}.Check("3")
		if want == none {
			if err != nil {
				t.Errorf("%q: %v", list, err)
			}
			continue
		}
		if subjects.CodeOf(err) != want {
			t.Errorf("%q: %v, want %s", list, err, want)
		}
	}
	if err := (subjects.Precondition{IfMatch: `"1"`}).Check("3"); !errors.Is(err, subjects.ErrPreconditionFailed) {
		t.Errorf("the error is %v", err)
	}
}

// TestMatchesTag: weak comparison, as If-None-Match compares.
func TestMatchesTag(t *testing.T) {
	t.Parallel()
	for list, want := range map[string]bool{
		"*": true, `"3"`: true, `W/"3"`: true, `"1", W/"3"`: true, `"33"`: false, "3": false, "": false, `"3`: false,
	} {
		if got := subjects.MatchesTag(list, `"3"`); got != want {
			t.Errorf("%q: %t", list, got)
		}
	}
	if !subjects.MatchesTag(`"3"`, `W/"3"`) {
		t.Error("a weak tag does not match")
	}
}
