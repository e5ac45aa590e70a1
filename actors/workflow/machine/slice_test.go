package machine

import (
	"bytes"
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
)

// TestSlicesChangeNothing: random definitions have the same history in slices of any size, strict or not, as in one piece.
func TestSlicesChangeNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		source := head + "do: " + (&definitionGenerator{t: r}).list(3)
		run := func(slices func(bool) Slice) []byte {
			d := newDriver(t, source)
			d.slices = slices
			d.reply = func(call *Call) (any, *Error) {
				if call.Kind == CallWorkflow {
					return call.Workflow.Input, nil
				}
				output, fails := scriptedReply(call.Name, call.Arguments, call.Attempt)
				if fails {
					return nil, NewError(TypeCommunication, "scripted")
				}
				return output, nil
			}
			x := d.run(map[string]any{"n": 1, "other": "x"})
			back, err := Restore(d.def, d.env, d.log)
			if err != nil || back.Bytes() != x.Bytes() || back.state.Steps != x.state.Steps {
				r.Fatalf("restored with %d bytes and %d steps, %v; want %d and %d", back.Bytes(), back.state.Steps, err, x.Bytes(), x.state.Steps)
			}
			history, err := json.Marshal(d.log)
			if err != nil {
				r.Fatal(err)
			}
			return history
		}
		whole := run(nil)
		sliced := run(func(repeated bool) Slice {
			steps := rapid.SampledFrom([]int{0, 1, 3, 20, 100, 1000}).Draw(r, "steps")
			size := rapid.SampledFrom([]int{0, 1, 100, 1000, 10_000}).Draw(r, "bytes")
			return Slice{Steps: steps, Bytes: size, Strict: !repeated && rapid.Bool().Draw(r, "strict")}
		})
		if !bytes.Equal(whole, sliced) {
			r.Fatalf("%s\nwhole:  %s\nsliced: %s", source, whole, sliced)
		}
	})
}
