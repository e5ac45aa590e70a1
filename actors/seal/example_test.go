package seal_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/seal"
)

// A sealed value is bound to its place by the associated data, which is not stored.
func ExampleSealer() {
	actortest.Example(func(t testing.TB) {
		sealer, err := seal.Open(filepath.Join(t.TempDir(), "keyset.json"))
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := sealer.Seal([]byte("secret"), []byte("connections.tokens/1"))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := sealer.Open(sealed, []byte("connections.tokens/1"))
		fmt.Println(string(plain), err)
		_, err = sealer.Open(sealed, []byte("connections.tokens/2"))
		fmt.Println("moved to another row:", err != nil)
	})
	// Output:
	// secret <nil>
	// moved to another row: true
}
