package language

import (
	"bytes"
	"encoding/json"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// plainJSON encodes a value with encoding/json.
func plainJSON(t rapid.TB, value any) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimRight(out.Bytes(), "\n"))
}

// TestAppend compares Append with encoding/json on random values, byte for byte, because digests depend on it.
func TestAppend(t *testing.T) {
	t.Parallel()
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		kinds := []*rapid.Generator[any]{
			rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.String().AsAny(), rapid.Int().AsAny(),
			rapid.Custom(func(t *rapid.T) any { return string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) }),
			rapid.Custom(func(t *rapid.T) any {
				if f := rapid.Float64().Draw(t, "f"); !math.IsNaN(f) && !math.IsInf(f, 0) {
					return f
				}
				return 0.5
			}),
			rapid.Just[any](new(big.Int).Lsh(big.NewInt(-7), 100)),
		}
		if depth > 0 {
			kinds = append(kinds, rapid.Custom(func(t *rapid.T) any { return rapid.SliceOfN(value(depth-1), 0, 4).Draw(t, "list") }),
				rapid.Custom(func(t *rapid.T) any { return rapid.MapOfN(rapid.String(), value(depth-1), 0, 20).Draw(t, "map") }))
		}
		return rapid.OneOf(kinds...)
	}
	rapid.Check(t, func(t *rapid.T) {
		v := value(3).Draw(t, "value")
		if got, want := string(Canonical(v)), plainJSON(t, v); got != want {
			t.Fatalf("got  %q\nwant %q", got, want)
		}
	})
	for _, v := range []any{"\u2028\u2029\x00\x7f\xff\ufffd<&>\"\\\b\f\n\r\t", 1e-7, 1e21, 1e20, math.Copysign(0, -1), 1e-6, 123456789.25, []any(nil), map[string]any(nil), []string{"<"}} {
		if got, want := string(Canonical(v)), plainJSON(t, v); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}
