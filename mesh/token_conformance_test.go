//go:build conformance

package mesh_test

import (
	"crypto/ed25519"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weftmesh/weft/mesh"
)

// Project Wycheproof's vectors for JSON Web Signature are not signed with EdDSA, so none may be accepted, including the valid ones:
// neither unchanged, nor with their header over our payload, signed with our key.
func TestWycheproofJWSAreRejected(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("WEFT_CONFORMANCE")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "conformance")
	}
	data, err := os.ReadFile(filepath.Join(dir, "jose", "json_web_signature_test.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Number int `json:"numberOfTests"`
		Groups []struct {
			Tests []struct {
				ID  int             `json:"tcId"`
				JWS json.RawMessage `json:"jws"`
			} `json:"tests"`
		} `json:"testGroups"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	k, count := newTokens(t), 0
	parse := func(token string) error { // finds our key for any key id
		_, err := mesh.ParseToken(token, issuer, audience, k.now, func(string) (ed25519.PublicKey, bool) {
			public, _ := k.private.Public().(ed25519.PublicKey)
			return public, true
		})
		return err
	}
	for _, group := range file.Groups {
		for _, test := range group.Tests {
			count++
			var token string
			if json.Unmarshal(test.JWS, &token) != nil {
				token = string(test.JWS) // JSON serialization
			}
			header, _, _ := strings.Cut(token, ".")
			if parse(token) == nil || parse(k.signParts(header, encode(k.payload(t)))) == nil {
				t.Errorf("vector %d is accepted: %s", test.ID, token)
			}
		}
	}
	if count == 0 || count != file.Number {
		t.Errorf("read %d vectors of %d", count, file.Number)
	}
}
