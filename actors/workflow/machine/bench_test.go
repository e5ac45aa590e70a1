package machine

import "testing"

// BenchmarkThreeCalls runs an execution of three calls from its start to its output and encodes its events.
func BenchmarkThreeCalls(b *testing.B) {
	d := newDriver(b, head+`do: [{a: {call: f.g, with: {x: '${ .x }'}}}, {b: {call: f.g, with: {x: '${ .x }'}}}, {c: {call: f.g, with: {x: '${ .x }'}}}]`)
	var buffer []byte
	b.ReportAllocs()
	for b.Loop() {
		x, events := Start(d.def, "0198c7a0-0000-7000-8000-000000000001", map[string]any{"x": 1}, epoch, Environment{})
		buffer = encode(buffer, events)
		for !x.Status().Ended() {
			call := x.Calls()[0]
			buffer = encode(buffer, x.Handle(CallDone(call.ID, call.Arguments, epoch)))
		}
	}
}

func encode(buffer []byte, events []Event) []byte {
	for i := range events {
		buffer = events[i].AppendJSON(buffer[:0])
	}
	return buffer
}
