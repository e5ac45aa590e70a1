package providers_test

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
)

// TestDocumentedProvider: the manifest and the case in docs/writing-a-provider.md pass the tests of a shipped provider.
func TestDocumentedProvider(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/writing-a-provider.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(page), "\n## A complete manifest\n")
	indented, rest, closed := strings.Cut(after, "\n## ")
	_, fenced, fence := strings.Cut(rest, "\n```yaml\n")
	text, _, end := strings.Cut(fenced, "\n```\n")
	if !found || !closed || !fence || !end {
		t.Fatal("the page lacks the manifest or the case")
	}
	var lines []string
	for line := range strings.SplitSeq(indented, "\n") {
		lines = append(lines, strings.TrimPrefix(line, "    "))
	}
	yaml := strings.Join(lines, "\n")
	p, err := manifest.LoadFile("acme_shop.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	client, err := egress.New(egress.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, AllowHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	c := parseCase(t, p.ID, []byte(text))
	for _, w := range c.Wire {
		w.run(t, client, p, c)
	}
	c.complete(t, p)
	c.checkWebhook(t, p, yaml)
	for _, m := range p.Auth {
		if m.Kind == manifest.AuthOAuth2 {
			checkAuthorizationFlow(t, p, m, c)
		}
	}
}
