package gateway_test

import (
	"testing"

	"github.com/weftmesh/weft/subjects"
)

// TestGPCSignal: exactly Sec-GPC: 1, once or among other fields, reaches an endpoint that asks for it; nothing else does, nor the message
// header itself (W3C Global Privacy Control §3.3).
func TestGPCSignal(t *testing.T) {
	t.Parallel()
	asks := describe[subjects.Empty, map[string]string]("gpc", "POST /t/gpc", func(d *subjects.Descriptor) { d.GPC = true })
	other := describe[subjects.Empty, map[string]string]("other", "POST /t/other", nil)
	s := start(t, relaxed(), asks, other)
	send := func(name, want string, header ...string) scenario {
		return scenario{name: name, method: "POST", path: "/t/gpc", header: header, status: 200, carries: []string{"Weft-Gpc:" + want}}
	}
	s.play(t, s.listen(t, asks, map[string]string{}), []scenario{
		send("on", " 1", "Sec-GPC: 1"), send("absent", ""), send("off", "", "Sec-GPC: 0"), send("true", "", "Sec-GPC: true"),
		send("a list", "", "Sec-GPC: 1, 1"), send("with a parameter", "", "Sec-GPC: 1;x"), send("01", "", "Sec-GPC: 01"), send("empty", "", "Sec-GPC:"),
		send("one of two", " 1", "Sec-GPC: 0", "Sec-GPC: 1"), send("the message's header", "", "Weft-Gpc: 1"),
	})
	s.play(t, s.listen(t, other, map[string]string{}), []scenario{
		{name: "another endpoint", method: "POST", path: "/t/other", header: []string{"Sec-GPC: 1"}, status: 200, carries: []string{"Weft-Gpc:"}},
	})
	r, body := s.do(t, "GET", "/.well-known/gpc.json", "")
	if r.StatusCode != 200 || r.Header.Get("Content-Type") != "application/json" || body != `{"gpc":true,"lastUpdate":"2026-11-30"}` {
		t.Errorf("the support resource: %d %s %s", r.StatusCode, r.Header.Get("Content-Type"), body)
	}
}
