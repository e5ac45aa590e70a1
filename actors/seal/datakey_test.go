package seal_test

import (
	"bytes"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
)

func TestDataKey(t *testing.T) {
	t.Parallel()
	sealer, row := actortest.Sealer(t), []byte("objects.key/1")
	key, sealed, err := sealer.NewDataKey(row)
	if err != nil {
		t.Fatal(err)
	}
	content, err := key.Seal([]byte("content"), nil)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := sealer.OpenDataKey(sealed, row)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := opened.Open(content, nil); err != nil || string(plain) != "content" {
		t.Errorf("%q, %v", plain, err)
	}
	if _, err := sealer.Open(content, nil); err == nil {
		t.Error("the sealer itself can open the content")
	}
	if _, err := sealer.OpenDataKey(sealed, []byte("objects.key/2")); err == nil {
		t.Error("the key can be opened in another row")
	}
	if _, err := actortest.Sealer(t).OpenDataKey(sealed, row); err == nil {
		t.Error("another sealer can open the key")
	}
	if _, err := sealer.OpenDataKey(append(bytes.Clone(sealed), 0), row); err == nil {
		t.Error("a changed key can be opened")
	}
	notAKey, err := sealer.Seal([]byte("not a key"), row)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sealer.OpenDataKey(notAKey, row); err == nil {
		t.Error("a value that is not a key was accepted")
	}
	other, _, err := sealer.NewDataKey(row)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Open(content, nil); err == nil {
		t.Error("two data keys are equal")
	}
}
