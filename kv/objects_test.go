package kv_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/weftmesh/weft/kv"
)

func TestObjectStoreContract(t *testing.T) {
	t.Parallel()
	js := connect(t, start(t, options(t)).ClientURL())
	ctx := deadline(t)
	if _, err := kv.OpenObjects(ctx, js, kv.IntegrationObjects); !errors.Is(err, kv.ErrNoBucket) {
		t.Fatalf("opening a store that does not exist: %v", err)
	}
	for range 2 { // Create is idempotent
		must(t, kv.Create(ctx, js, 1))
	}
	store, err := kv.OpenObjects(ctx, js, kv.IntegrationObjects)
	must(t, err)
	if _, err := store.Get(ctx, "a"); !errors.Is(err, kv.ErrNotFound) {
		t.Errorf("Get of a missing object: %v", err)
	}
	for _, data := range [][]byte{[]byte("first"), bytes.Repeat([]byte("x"), 500_000), []byte("second")} {
		must(t, store.Put(ctx, "a", data))
		if got, err := store.Get(ctx, "a"); err != nil || !bytes.Equal(got, data) {
			t.Errorf("Get returns %d bytes of %d, %v", len(got), len(data), err)
		}
	}
	must(t, store.Put(ctx, "other", []byte("kept")))
	for range 2 { // deleting a missing object is no error
		must(t, store.Delete(ctx, "a"))
		if _, err := store.Get(ctx, "a"); !errors.Is(err, kv.ErrNotFound) {
			t.Errorf("Get of a deleted object: %v", err)
		}
	}
	if got, err := store.Get(ctx, "other"); err != nil || string(got) != "kept" {
		t.Errorf("another object is %q, %v", got, err)
	}
	stream, err := js.Stream(ctx, kv.IntegrationObjects.Stream())
	must(t, err)
	if n := stream.CachedInfo().State.Msgs; n != 1 {
		t.Errorf("the store holds %d messages for one object", n)
	}
}

func TestObjectStoreWhileDisconnected(t *testing.T) {
	t.Parallel()
	srv := start(t, options(t))
	js := connect(t, srv.ClientURL())
	must(t, kv.Create(deadline(t), js, 1))
	stop(srv)
	eventually(t, "disconnected", func() bool { return !js.Conn().IsConnected() })
	if _, err := kv.OpenObjects(deadline(t), js, kv.IntegrationObjects); !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("opening: %v", err)
	}
}

func TestObjectStorePermissions(t *testing.T) {
	t.Parallel()
	for _, spec := range kv.ObjectStores() {
		for _, user := range users {
			if allowed := spec.Permissions(user); (user == spec.Owner) != (len(allowed) > 0) {
				t.Errorf("%s may publish %v for %s", user, allowed, spec.Name)
			}
		}
	}
}

func TestBucketPermissionsByRole(t *testing.T) {
	t.Parallel()
	owned := kv.Spec{Name: "b", Owner: "o", Readers: []string{"r"}}
	shared := kv.Spec{Name: "b", Writers: []string{"w", "r"}, Readers: []string{"r"}}
	for _, test := range []struct {
		spec          kv.Spec
		user, subject string
		want          bool
	}{
		{owned, "o", "$KV.b.>", true},
		{owned, "o", "$JS.API.STREAM.MSG.GET.KV_b", true},
		{owned, "r", "$KV.b.>", false},
		{owned, "r", "$JS.API.STREAM.MSG.GET.KV_b", true},
		{owned, "r", "$JS.API.CONSUMER.CREATE.KV_b.>", true},
		{owned, "x", "$JS.API.STREAM.INFO.KV_b", false},
		{shared, "w", "$KV.b.w.>", true},
		{shared, "w", "$KV.b.>", false},
		{shared, "w", "$JS.API.STREAM.INFO.KV_b", true},
		{shared, "w", "$JS.API.*.STREAM.PURGE.KV_b", false},
		{owned, "o", "$JS.API.*.STREAM.PURGE.KV_b", true},
		{owned, "r", "$JS.API.*.STREAM.PURGE.KV_b", false},
		{shared, "r", "$KV.b.r.>", true},
		{shared, "r", "$JS.API.DIRECT.GET.KV_b.>", false},
		{shared, "r", "$JS.API.STREAM.MSG.GET.KV_b", true},
	} {
		if got := slices.Contains(test.spec.Permissions(test.user), test.subject); got != test.want {
			t.Errorf("%s may publish %s: %t", test.user, test.subject, got)
		}
	}
}
