package machine

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// TestAppendJSON compares AppendJSON with the encoding of the plain struct, and decodes the result. It sets every
// field, so that a field that is added to Event but not to AppendJSON fails here.
func TestAppendJSON(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 1, 12, 0, 0, 123456789, time.UTC)
	full := Event{Correlation: map[string]any{"a": 1, "b": "x"}, Filters: []int{-1, 2}, Interrupted: []InterruptedCall{{Run: 3, Task: "/t", Key: "/k", Outcome: "o"}, {Run: 0}}, Definition: &Definition{"n<", "m", "1", "d"},
		Error: &Error{Type: "t", Status: 400, Title: "T\u2028", Detail: "d\"", Instance: "/i", Outcome: "o"}}
	v := reflect.ValueOf(&full).Elem()
	for i := range v.NumField() {
		switch field := v.Field(i); field.Interface().(type) {
		case int, uint64:
			if field.CanInt() {
				field.SetInt(int64(i + 1))
			} else {
				field.SetUint(uint64(i + 1))
			}
		case string, EventType:
			field.SetString("text <" + v.Type().Field(i).Name + ">\n")
		case Value:
			field.Set(reflect.ValueOf(ValueOf(map[string]any{"k": []any{i, nil, "é", 1.5}})))
		case time.Time:
			field.Set(reflect.ValueOf(at))
		case *time.Time:
			field.Set(reflect.ValueOf(&at))
		}
		if v.Field(i).IsZero() {
			t.Fatalf("the test does not set the field %s", v.Type().Field(i).Name)
		}
	}
	type plain Event // has no MarshalJSON
	for _, event := range []Event{full, {Type: TaskStarted, At: at}, {At: at, Output: ValueOf(nil)}} {
		text := event.AppendJSON(nil)
		if want := string(language.Canonical(plain(event))); string(text) != want {
			t.Errorf("got  %s\nwant %s", text, want)
		}
		var back Event
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back, event) {
			t.Errorf("decoded as %+v\nwant %+v", back, event)
		}
	}
}
