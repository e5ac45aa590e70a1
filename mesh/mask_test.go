package mesh_test

import (
	"strings"
	"testing"

	"github.com/weftmesh/weft/mesh"
)

func TestMaskURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                             "",
		"127.0.0.1:4222":               "127.0.0.1:4222",
		"https://weft.example/a":       "https://weft.example/a",
		"nats://u:pa@ss@h:1/x?token=t": "nats://***@h:1/x?***",
		"https://h/callback?code=x":    "https://h/callback?***",
		"u:p@h":                        "***@h",
		"host=h PASSWORD = p dbname=x": "host=h PASSWORD =***",
		"https://tok@h":                "https://***@h",
	} {
		if got := mesh.MaskURL(text); got != want {
			t.Errorf("%q gives %q, want %q", text, got, want)
		}
	}
	if got := mesh.MaskURLs("nats://u:p@a:1,nats://b:2"); got != "nats://***@a:1,nats://b:2" {
		t.Errorf("a list gives %q", got)
	}
}

// TestConnectQuotesNoURL fails to connect to addresses with the password hunter2.
func TestConnectQuotesNoURL(t *testing.T) {
	t.Parallel()
	seed := "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY" // a key of the NATS documentation
	for _, url := range []string{"nats://u:hunter2 @h:4222", "nats://u:hunter2@h:port", "ftp://u:hunter2@h", "nats://h:1,u:hunter2%@h"} {
		_, err := mesh.Connect(t.Context(), mesh.Options{URL: url, User: "auth", Seed: []byte(seed)})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
