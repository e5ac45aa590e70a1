package kv_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/kv"
)

func TestCreateChangesNothingThatExists(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	ctx := deadline(t)
	b := open(t, js, kv.ConsentState)
	revision, err := b.Put(ctx, "k", value{"kept", 1})
	must(t, err)
	stream, err := js.Stream(ctx, kv.ConsentState.Stream())
	must(t, err)
	config := stream.CachedInfo().Config
	config.AllowDirect = true
	_, err = js.UpdateStream(ctx, config)
	must(t, err)
	for range 2 {
		must(t, kv.Create(ctx, js, 1))
	}
	stream, err = js.Stream(ctx, kv.ConsentState.Stream())
	must(t, err)
	if !stream.CachedInfo().Config.AllowDirect {
		t.Error("Create changed a bucket")
	}
	if got, err := b.Get(ctx, "k"); err != nil || got.Revision != revision {
		t.Errorf("Create lost the data: %+v %v", got, err)
	}
}

func TestCreateExplainsInsufficientStorage(t *testing.T) {
	t.Parallel()
	small := options(t)
	small.JetStreamMaxStore = 100 << 20
	err := kv.Create(deadline(t), connect(t, start(t, small).ClientURL()), 1)
	if err == nil || !strings.Contains(err.Error(), "reserve 416 MiB") || !strings.Contains(err.Error(), "max_file_store") {
		t.Errorf("on a server with 100 MiB of storage: %v", err)
	}
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		t.Error("the server's error is not wrapped")
	}
	enough := options(t)
	enough.JetStreamMaxStore = 432 << 20
	must(t, kv.Create(deadline(t), connect(t, start(t, enough).ClientURL()), 1))
}

func TestInvalidSpecsAreRejected(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	for _, spec := range []kv.Spec{
		{Name: "a b", Owner: "x"},
		{Name: "nobody"},
		{Name: "both", Owner: "x", Writers: []string{"y"}},
		{Name: "lasting", Writers: []string{"x"}},
		{Name: "writer", Writers: []string{"a.b"}},
	} {
		if err := kv.CreateSpecs(deadline(t), js, 1, spec); !errors.Is(err, kv.ErrInvalidArgument) {
			t.Errorf("%s: %v", spec.Name, err)
		}
	}
}

// users are the NATS users of the mesh, and one without access to any bucket.
var users = []string{"auth", "integration", "workflow", "consent", "notification", "gateway", "outsider"}

// secured runs a server on which each user may publish only what the buckets' Specs permit.
func secured(t *testing.T) (setup kv.JetStream, as func(user string) (kv.JetStream, *denials)) {
	t.Helper()
	opts := options(t)
	opts.Users = []*server.User{{Username: "setup", Password: "pw"}}
	for _, user := range users {
		allow := []string{"nothing." + user}
		for _, spec := range kv.All() {
			allow = append(allow, spec.Permissions(user)...)
		}
		opts.Users = append(opts.Users, &server.User{Username: user, Password: "pw", Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: allow},
			Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX_" + user + ".>"}},
		}})
	}
	srv := start(t, opts)
	setup = connect(t, srv.ClientURL(), nats.UserInfo("setup", "pw"))
	must(t, kv.Create(deadline(t), setup, 1))
	return setup, func(user string) (kv.JetStream, *denials) {
		denied := &denials{seen: make(chan error, 64)}
		js := connect(t, srv.ClientURL(), nats.UserInfo(user, "pw"), nats.CustomInboxPrefix("_INBOX_"+user),
			nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied.seen <- err }))
		return author{js, "$JS.API.token."}, denied
	}
}

// denials collects the permission errors that a connection received.
type denials struct{ seen chan error }

// none fails the test if the server has denied anything so far.
func (d *denials) none(t *testing.T, js kv.JetStream) {
	t.Helper()
	must(t, js.Conn().Flush())
	select {
	case err := <-d.seen:
		t.Errorf("the server denied: %v", err)
	default:
	}
}

func TestPermissionsSufficeForOwners(t *testing.T) {
	t.Parallel()
	_, as := secured(t)
	for _, spec := range kv.All() {
		if spec.PerWriter() {
			continue
		}
		js, denied := as(spec.Owner)
		exercise(t, js, spec)
		denied.none(t, js)
	}
}

// exercise performs every operation of an owner on a bucket.
func exercise(t *testing.T, js kv.JetStream, spec kv.Spec) {
	t.Helper()
	ctx, b := deadline(t), open(t, js, spec)
	revision, err := b.Create(ctx, "a", value{"a", 1}, time.Minute)
	must(t, err)
	revision, err = b.UpdateTTL(ctx, "a", value{"a", 2}, revision, time.Minute)
	must(t, err)
	_, err = b.Get(ctx, "a")
	must(t, err)
	_, err = b.Keys(ctx, ">")
	must(t, err)
	must(t, b.DeleteRevision(ctx, "a", revision))
	_, err = b.Create(ctx, "a", value{"a", 1}, time.Minute)
	must(t, err)
	if spec.Storage == kv.File {
		m, err := kv.Watch(ctx, b, ">")
		must(t, err)
		m.Close()
	}
	must(t, b.Delete(ctx, "a"))
}

func TestReadersCanReadAndWatchOnly(t *testing.T) {
	t.Parallel()
	setup, as := secured(t)
	for _, spec := range []kv.Spec{kv.AuthKeys, kv.AuthRevoked, kv.ConsentState} {
		for _, user := range spec.Readers {
			js, denied := as(user)
			ctx := deadline(t)
			_, err := open(t, setup, spec).Put(ctx, "k", value{"k", 1})
			must(t, err)
			b := open(t, js, spec)
			_, err = b.Get(ctx, "k")
			must(t, err)
			m, err := kv.Watch(ctx, b, ">")
			must(t, err)
			must(t, m.Sync(ctx))
			m.Close()
			denied.none(t, js)
			brief, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			if _, err := b.Put(brief, "k", value{"forged", 1}); !errors.Is(err, kv.ErrUnavailable) {
				t.Errorf("%s writes %s: %v", user, spec.Name, err)
			}
			cancel()
			<-denied.seen
		}
	}
}

func TestUsersWithoutAccessCannotOpen(t *testing.T) {
	t.Parallel()
	_, as := secured(t)
	js, _ := as("outsider")
	for _, spec := range kv.All() {
		if allowed := spec.Permissions("outsider"); allowed != nil {
			t.Errorf("%s permits a user without access %v", spec.Name, allowed)
		}
	}
	ctx, cancel := context.WithTimeout(deadline(t), 50*time.Millisecond)
	defer cancel()
	if _, err := kv.Open[value](ctx, js, kv.AuthSessions); !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("opening: %v", err)
	}
}

func TestWritersCanWriteOnlyTheirPrefix(t *testing.T) {
	t.Parallel()
	_, as := secured(t)
	ctx := deadline(t)
	var want []string
	for _, user := range kv.Guards.Writers {
		js, denied := as(user)
		key := kv.EncodeKey(user, "p1")
		want = append(want, key)
		lease, err := kv.HoldLease(ctx, js, kv.Guards, key, kv.Guards.TTL)
		must(t, err)
		t.Cleanup(func() { _ = lease.Close(context.Background()) })
		denied.none(t, js)
		other := kv.Guards.Writers[(slices.Index(kv.Guards.Writers, user)+1)%len(kv.Guards.Writers)]
		brief, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		if _, err := kv.HoldLease(brief, js, kv.Guards, kv.EncodeKey(other, "p2"), kv.Guards.TTL); !errors.Is(err, kv.ErrUnavailable) {
			t.Errorf("%s holds a lease of %s: %v", user, other, err)
		}
		cancel()
	}
	slices.Sort(want)
	for _, user := range kv.Guards.Readers {
		js, _ := as(user)
		live, err := kv.Live(ctx, js, kv.Guards, ">")
		must(t, err)
		if !slices.Equal(live, want) {
			t.Errorf("%s lists the leases %v", user, live)
		}
	}
}

func TestPermissionsSufficeForWatchingManyKeys(t *testing.T) {
	t.Parallel()
	setup, as := secured(t)
	ctx := deadline(t)
	const keys = 60_000
	for i := range keys {
		_, err := setup.PublishAsync(fmt.Sprintf("$KV.%s.k%d", kv.ConsentState.Name, i),
			[]byte(fmt.Sprintf(`{"name":"%0400d"}`, i)), jetstream.WithStallWait(10*time.Second))
		must(t, err)
	}
	select {
	case <-setup.PublishAsyncComplete():
	case <-ctx.Done():
		t.Fatal("publishing took too long")
	}
	js, denied := as("workflow")
	began := time.Now()
	m, err := kv.Watch(ctx, open(t, js, kv.ConsentState), ">")
	denied.none(t, js)
	must(t, err)
	defer m.Close()
	if m.Len() != keys {
		t.Fatalf("loaded %d of %d keys", m.Len(), keys)
	}
	t.Logf("loaded %d keys in %s", keys, time.Since(began))
	denied.none(t, js)
}

func TestBucketsSurviveARestart(t *testing.T) {
	t.Parallel()
	js, url, down, up := restartable(t)
	ctx := deadline(t)
	must(t, kv.Create(ctx, js, 1))
	for _, spec := range kv.All() {
		if !spec.PerWriter() {
			_, err := open(t, js, spec).Put(ctx, "k", value{spec.Name, 1})
			must(t, err)
		}
	}
	lease, err := kv.HoldLease(ctx, js, kv.Guards, "auth.a", kv.Guards.TTL)
	must(t, err)
	down()
	up()
	again := connect(t, url)
	for _, spec := range kv.All() {
		if spec.PerWriter() {
			continue
		}
		if got, err := open(t, again, spec).Get(ctx, "k"); err != nil || got.Value.Name != spec.Name {
			t.Errorf("%s after a restart: %+v %v", spec.Name, got, err)
		}
	}
	if live, err := kv.Live(ctx, again, kv.Guards, ">"); err != nil || !slices.Equal(live, []string{"auth.a"}) || !lease.Valid() {
		t.Errorf("leases after a restart: %v %v", live, err)
	}
}
