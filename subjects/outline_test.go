package subjects_test

import (
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/weftmesh/weft/subjects"
)

// hostileValues are JSON values of about size bytes that take many times their bytes as a tree of Go values, or do not end.
func hostileValues(size int) map[string]string {
	var keys strings.Builder
	for i := 0; keys.Len() < size-20; i++ {
		fmt.Fprintf(&keys, `"k%d":0,`, i)
	}
	return map[string]string{
		"nested arrays":  strings.Repeat("[", size/2) + strings.Repeat("]", size/2),
		"open arrays":    strings.Repeat("[", size),
		"nested objects": strings.Repeat(`{"a":`, size/6) + "0" + strings.Repeat("}", size/6),
		"numbers":        "[" + strings.Repeat("0,", size/2-2) + "0]",
		"empty arrays":   "[" + strings.Repeat("[],", size/3-2) + "0]",
		"small objects":  "[" + strings.Repeat(`{"":0},`, size/7-2) + "0]",
		"keys":           "{" + keys.String() + `"z":0}`,
		"escapes":        `"` + strings.Repeat(`\u0041`, size/6) + `"`,
		"string":         `"` + strings.Repeat(`A`, size-2) + `"`,
		"invalid end":    "[" + strings.Repeat("0,", size/2-2) + "?]",
	}
}

// allocated returns how many bytes f allocates, at its least of three times: other goroutines allocate too.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	least := ^uint64(0)
	for range 3 {
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

// TestValidationTakesLittleMoreThanTheMessage is not parallel: it measures the process's allocations.
func TestValidationTakesLittleMoreThanTheMessage(t *testing.T) {
	create, execute := subjects.CreateWorkflow.Describe(), subjects.ExecuteWorkflow.Describe()
	for name, value := range hostileValues(500_000) {
		for _, c := range []struct {
			field string
			d     *subjects.Descriptor
		}{{"definition", create}, {"unknown", create}, {"input", execute}, {"unknown", execute}} {
			message := []byte(`{"workflow_id":"` + someID + `","` + c.field + `":` + value + `}`)
			limit := uint64(1 << 20)
			if name == "keys" { // the decoder remembers the names of an object, to find those given twice
				limit = 16 * uint64(len(message))
			}
			if used := allocated(func() { _, _ = c.d.OutlineFields(message) }); used > 1<<20 {
				t.Errorf("%s in %s of %s: reading %d bytes allocates %d", name, c.field, c.d.Name(), len(message), used)
			}
			if used := allocated(func() { _ = c.d.Validate(message) }); used > limit {
				t.Errorf("%s in %s of %s: validating %d bytes allocates %d", name, c.field, c.d.Name(), len(message), used)
			}
		}
	}
}

func TestAMessageIsBounded(t *testing.T) {
	t.Parallel()
	execute := subjects.ExecuteWorkflow.Describe()
	input := func(value string) []byte { return []byte(`{"workflow_id":"` + someID + `","input":` + value + `}`) }
	const own = 4 // the values of the message around the input: the object, the id, the input itself and one to spare
	for _, c := range []struct {
		name    string
		message []byte
		code    subjects.Code
		detail  string
	}{
		{"as deep as allowed", input(strings.Repeat("[", subjects.MaxDepth-1) + strings.Repeat("]", subjects.MaxDepth-1)), "", ""},
		{"too deep", input(strings.Repeat("[", subjects.MaxDepth) + strings.Repeat("]", subjects.MaxDepth)), subjects.CodeInvalid, "1000 levels"},
		{"deep and never closed", input(strings.Repeat(`{"a":`, 5000)), subjects.CodeInvalid, "1000 levels"},
		{"as many values as allowed", input("[" + strings.Repeat("0,", subjects.MaxValues-own) + "0]"), "", ""},
		{"too many values", input("[" + strings.Repeat("0,", subjects.MaxValues) + "0]"), subjects.CodeTooLarge, "200000 values"},
		{"too many bytes", input(`"` + strings.Repeat("a", 1<<20) + `"`), subjects.CodeTooLarge, "workflow.execute_workflow takes at most 1048576"},
		{"a number that no float64 holds", input(`[1e999]`), subjects.CodeInvalid, "input.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := execute.Validate(c.message)
			if code := subjects.CodeOf(err); code != c.code {
				t.Fatalf("got %v, want %q", err, c.code)
			}
			if err != nil && !strings.Contains(err.Error(), c.detail) {
				t.Errorf("got %v, want it to name %q", err, c.detail)
			}
		})
	}
}

func TestManyUnknownFieldsEndTheReading(t *testing.T) {
	t.Parallel()
	for count, want := range map[int]int{3: 3 + 2, 16: 16 + 2, 17: 1} { // two required fields are missing
		var message strings.Builder
		for i := range count {
			fmt.Fprintf(&message, `,"x%d":[[{"a":"b"}]]`, i)
		}
		err := subjects.Login.Describe().Validate([]byte("{" + message.String()[1:] + "}"))
		e, is := err.(*subjects.Error) //nolint:errorlint // it is returned as it is
		if !is || e.Code != subjects.CodeInvalid || len(e.Fields) != want {
			t.Errorf("%d unknown fields: got %v, want %d violations", count, err, want)
		}
	}
}

func TestFieldsGivenTwiceAreFoundWithoutTheNamesOfFreeFormJSON(t *testing.T) {
	t.Parallel()
	d := subjects.SendNotification.Describe()
	for message, want := range map[string][2]bool{ // fails OutlineFields, fails Outline
		`{"category":"system","category":"system"}`:        {true, true},
		`{"category":"system","x":1,"x":2}`:                {true, true},
		`{"category":"system","data":{"a":{"b":1,"b":2}}}`: {false, true},
		`{"category":"system","data":{"a":1,"a":2}}`:       {false, true},
		`{"category":"system","data":{"a":{"b":1}}}`:       {false, false},
	} {
		_, fields := d.OutlineFields([]byte(message))
		_, all := d.Outline([]byte(message))
		if (fields != nil) != want[0] || (all != nil) != want[1] {
			t.Errorf("%s: OutlineFields %v, Outline %v", message, fields, all)
		}
		if fields != nil && all != nil && subjects.ProblemOf(fields, "", "").Detail != subjects.ProblemOf(all, "", "").Detail {
			t.Errorf("%s: OutlineFields %v, Outline %v", message, fields, all)
		}
	}
}

func TestTheSizeOfAMessageFollowsFromItsSchema(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		d           *subjects.Descriptor
		least, most int64
	}{
		{subjects.Login.Describe(), 12 * (254 + 1024), 24 << 10},
		{subjects.GetUserProfile.Describe(), subjects.MinMessage, subjects.MinMessage},
		{subjects.CreateWorkflow.Describe(), 512 << 10, 512 << 10},
		{subjects.ExecuteWorkflow.Describe(), subjects.MaxMessage, subjects.MaxMessage},
		{subjects.ReceiveWebhook.Describe(), subjects.MaxMessage, subjects.MaxMessage},
	} {
		if c.d.MaxMessage < c.least || c.d.MaxMessage > c.most {
			t.Errorf("%s takes %d bytes, want %d to %d", c.d.Name(), c.d.MaxMessage, c.least, c.most)
		}
	}
	for _, d := range subjects.Endpoints() {
		if d.MaxMessage < subjects.MinMessage || d.MaxMessage > subjects.MaxMessage {
			t.Errorf("%s takes %d bytes", d.Name(), d.MaxMessage)
		}
		if d.Access.Anyone && d.MaxMessage > 256<<10 && d.Body.Kind != subjects.BodyRaw {
			t.Errorf("%s, which anyone may call, takes %d bytes", d.Name(), d.MaxMessage)
		}
	}
}

// TestDecodedSizeIsAnUpperBound is not parallel: it measures the process's allocations.
func TestDecodedSizeIsAnUpperBound(t *testing.T) {
	d := subjects.ConnectIntegration.Describe() // settings are decoded to a tree
	for name, value := range hostileValues(100_000) {
		message := []byte(`{"provider":"p","settings":{"x":` + value + `}}`)
		used := allocated(func() { _, _ = subjects.ConnectIntegration.Decode(message) })
		if estimate := d.DecodedSize(message); int64(used) > 2*estimate+(1<<20) {
			t.Errorf("%s: decoding %d bytes allocates %d, the estimate is %d", name, len(message), used, estimate)
		}
	}
}

// TestAnOutlineHasWhatTheSchemaDescribes shows what is kept of a message.
func TestAnOutlineHasWhatTheSchemaDescribes(t *testing.T) {
	t.Parallel()
	got, err := subjects.SendNotification.Describe().Outline([]byte(
		`{"category":"system","channels":["email","sms"],"data":{"a":[1,{"b":null}]},"other":{"c":[2]},"user_id":null}`))
	want := map[string]any{
		"category": "system", "channels": []any{"email", "sms"}, "data": map[string]any{}, "other": nil, "user_id": nil,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}
