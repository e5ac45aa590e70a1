package kv_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weftmesh/weft/kv"
)

func TestEncodeKeyIsInjective(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.OneOf(rapid.String(), rapid.StringMatching(`[-=._a-zA-Z0-9*>/ ]{0,12}`))
		parts := rapid.SliceOfN(part, 1, 5).Draw(t, "parts")
		others := rapid.SliceOfN(part, 1, 5).Draw(t, "others")
		key := kv.EncodeKey(parts...)
		back, err := kv.DecodeKey(key)
		if err != nil || !slices.Equal(back, parts) {
			t.Fatalf("%q is encoded as %q and decoded as %q (%v)", parts, key, back, err)
		}
		if !slices.Equal(parts, others) && key == kv.EncodeKey(others...) {
			t.Fatalf("%q and %q are both encoded as %q", parts, others, key)
		}
		if strings.Count(key, ".") != len(parts)-1 {
			t.Fatalf("%q does not have one token for each of %q", key, parts)
		}
	})
}

func TestDecodeKeyAcceptsOnlyEncodedKeys(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.OneOf(rapid.String(), rapid.StringMatching(`(=?[-_a-zA-Z0-9]{0,6}\.?){1,4}`)).Draw(t, "key")
		parts, err := kv.DecodeKey(key)
		if err == nil && kv.EncodeKey(parts...) != key {
			t.Fatalf("%q is decoded as %q, which is encoded as %q", key, parts, kv.EncodeKey(parts...))
		}
		if err != nil && !errors.Is(err, kv.ErrInvalidKey) {
			t.Fatal(err)
		}
	})
}

func TestEncodedKeysAreValid(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	b := open(t, js, kv.AuthSessions)
	ctx := context.Background()
	for _, parts := range [][]string{{"a"}, {""}, {"ada@example.org", "2001:db8::1"}, {"a.b", "*", ">"}, {"=", "-"}, {"日本"}} {
		key := kv.EncodeKey(parts...)
		if _, err := b.Put(ctx, key, value{Name: key}); err != nil {
			t.Errorf("putting %q: %v", key, err)
		}
		if got, err := b.Get(ctx, key); err != nil || got.Value.Name != key {
			t.Errorf("getting %q: %+v, %v", key, got, err)
		}
	}
}

func TestInvalidKeysAreRejected(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	b := open(t, js, kv.AuthSessions)
	ctx := context.Background()
	for _, key := range []string{"", ".", "a.", ".a", "a..b", "a b", "*", "a.>", "ä", "a\r\nb", strings.Repeat("k", 1025)} {
		_, put := b.Put(ctx, key, value{})
		_, get := b.Get(ctx, key)
		for _, err := range []error{put, get, b.Delete(ctx, key)} {
			if !errors.Is(err, kv.ErrInvalidKey) {
				t.Errorf("key %q: %v", key, err)
			}
		}
	}
	for _, filter := range []string{"", "a.>.b", "a*", ">a", "a b"} {
		if _, err := b.Keys(ctx, filter); !errors.Is(err, kv.ErrInvalidKey) {
			t.Errorf("filter %q: %v", filter, err)
		}
	}
	guards := open(t, js, kv.Guards)
	for _, key := range []string{"auth", "nobody.x"} {
		if _, err := guards.Put(ctx, key, value{}); !errors.Is(err, kv.ErrInvalidKey) {
			t.Errorf("key %q, which belongs to no writer: %v", key, err)
		}
	}
}
