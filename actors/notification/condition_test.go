package notification

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestConditionsAreBounded: an expression that would take long or much ends within its bounds, and lets the notification pass.
func TestConditionsAreBounded(t *testing.T) {
	t.Parallel()
	data := map[string]json.RawMessage{"text": json.RawMessage(`"` + strings.Repeat("a", 60_000) + `"`), "list": json.RawMessage(`[1,2,3]`)}
	for text, want := range map[string]bool{
		`.data.list | length == 3`:             true,
		`.data.list | length == 4`:             false,
		`.data.missing`:                        false,
		`empty`:                                false,
		`0`:                                    true,
		`.category == "system"`:                true,
		`.data.text | length < 0`:              false,
		`[limit(1e9; repeat(1))] | length < 0`: true,
		`def f: f; f`:                          true,
		`[range(1e9)] | length < 0`:            true,
		`reduce range(1e9) as $i (""; . + "aaa") | length < 0`: true,
		`.data | error`: true,
	} {
		start := time.Now()
		got := conditionMet(text, "system", "email", data, start)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s took %v", text, took)
		}
		if got != want {
			t.Errorf("%s is %v", text, got)
		}
	}
}

func BenchmarkCondition(b *testing.B) {
	data := map[string]json.RawMessage{"severity": json.RawMessage(`"high"`)}
	for b.Loop() {
		conditionMet(`.data.severity == "high"`, "system", "email", data, time.Now())
	}
}
