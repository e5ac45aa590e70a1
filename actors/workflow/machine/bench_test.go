package machine

import "testing"

// BenchmarkThreeCalls is an execution of three calls, from its start to its output.
func BenchmarkThreeCalls(b *testing.B) {
	d := newDriver(b, head+`do: [{a: {call: f.g, with: {x: '${ .x }'}}}, {b: {call: f.g, with: {x: '${ .x }'}}}, {c: {call: f.g, with: {x: '${ .x }'}}}]`)
	b.ReportAllocs()
	for b.Loop() {
		x, _ := Start(d.def, "e", map[string]any{"x": 1}, epoch, Environment{})
		for !x.Status().Ended() {
			call := x.Calls()[0]
			x.Handle(CallDone(call.ID, call.Arguments, epoch))
		}
	}
}
