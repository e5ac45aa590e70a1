package refresh_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/weftmesh/weft/actors/auth/refresh"
)

func FuzzParseRefreshToken(f *testing.F) {
	key := []byte("key")
	good, err := refresh.New(key, uuid.NewString(), uuid.NewString())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good.Text)
	f.Add(good.Text + "=")
	f.Add(good.Text[:50] + "\n" + good.Text[50:])
	f.Fuzz(func(t *testing.T, text string) {
		if got, ok := refresh.Parse(key, text); ok != (text == good.Text) || ok && got != good {
			t.Errorf("%q: %v, %+v", text, ok, got)
		}
	})
}
