package mesh_test

import (
	"fmt"
	"testing"

	"github.com/weftmesh/weft/mesh"
)

// TestAuthority: an intersection allows what both allow, and names the keys of both; it never widens.
func TestAuthority(t *testing.T) {
	t.Parallel()
	all, a, b := mesh.Authority{}, mesh.KeyAuthority("a", "y x"), mesh.KeyAuthority("b", "z y")
	for _, c := range []struct {
		got  mesh.Authority
		want string
	}{
		{all.Intersect(all), "/"}, {all.Intersect(a), "a/x y"}, {a.Intersect(all), "a/x y"}, {a.Intersect(a), "a/x y"},
		{a.Intersect(b), "a b/y"}, {b.Intersect(a), "a b/y"}, {a.Intersect(b).Intersect(a), "a b/y"}, {a.Intersect(mesh.KeyAuthority("c", "")), "a c/"},
	} {
		if got := c.got.Keys + "/" + c.got.Scopes; got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	if !all.Allows("x") || !a.Allows("x") || a.Allows("z") || a.Allows("") || a.Allows("x y") || mesh.KeyAuthority("c", "").Allows("x") {
		t.Error("Allows is wrong")
	}
	many := a
	for i := range 40 {
		many = many.Intersect(mesh.KeyAuthority(fmt.Sprintf("k%02d", i), "x"))
	}
	if many.Allows("x") || len(many.KeyIDs()) > 32 {
		t.Errorf("an authority of 41 keys: %+v", many)
	}
}
