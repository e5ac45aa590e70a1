package language

import (
	"strconv"
	"strings"
	"testing"
)

// places formats faults as line:column pointer code, one per line.
func places(faults Faults) string {
	lines := make([]string, len(faults))
	for i, fault := range faults {
		lines[i] = strconv.Itoa(fault.Line) + ":" + strconv.Itoa(fault.Column) + " " + fault.Pointer + " " + fault.Code
	}
	return strings.Join(lines, "\n")
}

// codes formats faults as code pointer, separated by commas.
func codes(faults Faults) string {
	texts := make([]string, len(faults))
	for i, fault := range faults {
		texts[i] = strings.TrimSpace(fault.Code + " " + fault.Pointer)
	}
	return strings.Join(texts, ", ")
}

// parse parses a definition that has no faults.
func parse(t testing.TB, source string) *Workflow {
	t.Helper()
	w, faults := Parse([]byte(head + source + "\n"))
	if len(faults) > 0 {
		t.Fatalf("parsing %s: %v", source, faults)
	}
	return w
}

// task parses a definition of one task a and returns the task.
func task(t testing.TB, body string) *Task {
	t.Helper()
	return parse(t, "do: [{a: {"+body+"}}]").Do[0]
}

// faultRow is one row of a table of faults: a source, and the faults it has, as codes formats them.
type faultRow struct{ source, want string }

// checkFaults parses the sources of a table within a template, in which %s is replaced by the source.
func checkFaults(t *testing.T, template string, rows []faultRow) {
	t.Helper()
	for _, row := range rows {
		w, faults := Parse([]byte(head + strings.ReplaceAll(template, "%s", row.source) + "\n"))
		if w != nil {
			faults = w.Unsupported()
		}
		if got := codes(faults); got != row.want {
			t.Errorf("%s\ngot  %q\nwant %q\n%v", row.source, got, row.want, faults)
		}
	}
}
