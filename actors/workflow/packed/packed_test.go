package packed

import (
	"testing"

	"pgregory.net/rapid"
)

// TestPackedRoundTrip: a text is read as it was written, whatever its bytes are, and never takes more room.
func TestPackedRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
			rapid.Map(rapid.SliceOf(rapid.SampledFrom([]string{`{"type":"task_started"`, `,`, `}`, string(packFrame), `"at":"`, "x"})), func(parts []string) string {
				all := ""
				for _, part := range parts {
					all += part
				}
				return all
			}), rapid.Just(string(packFrame)+"not a frame")).Draw(t, "text")
		stored, err := Text(text).Value()
		if err != nil {
			t.Fatal(err)
		}
		bytes := stored.([]byte)
		if len(bytes) > len(text) && len(text) > 0 && text[0] != packFrame[0] {
			t.Errorf("%q takes %d bytes", text, len(bytes))
		}
		var read Text
		if err := read.Scan(stored); err != nil || string(read) != text {
			t.Errorf("read %q, %v, want %q", read, err, text)
		}
	})
}

// TestPackedRefusesDamage: a damaged frame is an error.
func TestPackedRefusesDamage(t *testing.T) {
	t.Parallel()
	var read Text
	if err := read.Scan(append([]byte(nil), append(packFrame, 1, 2, 3)...)); err == nil {
		t.Errorf("read %q", read)
	}
	if err := read.Scan(7); err == nil {
		t.Errorf("read %q", read)
	}
}

// BenchmarkPacked measures the compression of the history of three steps.
func BenchmarkPacked(b *testing.B) {
	text := Text(packDictionary[len(packDictionary)-2000:])
	for b.Loop() {
		if _, err := text.Value(); err != nil {
			b.Fatal(err)
		}
	}
}
