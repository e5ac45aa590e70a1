package kv_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/kv"
)

// marked is a bucket that is watched and has expiring keys.
var marked = kv.Spec{Name: "marked", Owner: "test"}

func watch(t testing.TB, b *kv.Bucket[value], filter string, options ...kv.WatchOption[value]) *kv.Map[value] {
	t.Helper()
	m, err := kv.Watch(deadline(t), b, filter, options...)
	must(t, err)
	t.Cleanup(m.Close)
	return m
}

// log collects the changes reported to OnChange.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) add(c kv.Change[value]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf("%s=%d gone=%v", c.Key, c.Value.N, c.Gone))
}

func (l *log) read() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines)
}

func TestMapFollowsTheBucket(t *testing.T) {
	t.Parallel()
	js := mesh(t, marked)
	ctx, b := deadline(t), open(t, js, marked)
	_, err := b.Put(ctx, "user.a", value{"a", 1})
	must(t, err)
	_, err = b.Put(ctx, "user.gone", value{"g", 1})
	must(t, err)
	must(t, b.Delete(ctx, "user.gone"))
	_, err = b.Put(ctx, "else.a", value{"e", 1})
	must(t, err)

	var changes log
	m := watch(t, b, "user.>", kv.OnChange(changes.add))
	if got, ok := m.Get("user.a"); !ok || got.N != 1 || m.Len() != 1 || !m.Fresh() {
		t.Fatalf("initial state: %+v %v, %d keys, fresh %v", got, ok, m.Len(), m.Fresh())
	}
	if _, ok := m.Get("else.a"); ok {
		t.Fatal("a key that does not match the filter is in the map")
	}
	for _, n := range []int{2, 3} {
		revision, err := b.Put(ctx, "user.a", value{"a", n})
		must(t, err)
		must(t, m.WaitRevision(ctx, revision))
		if got, _ := m.Entry("user.a"); got.Value.N != n || got.Revision != revision || m.Revision() < revision {
			t.Fatalf("after WaitRevision(%d): %+v", revision, got)
		}
	}
	revision, err := b.Create(ctx, "user.b", value{"b", 1}, time.Second)
	must(t, err)
	must(t, m.WaitRevision(ctx, revision))
	if _, ok := m.Get("user.b"); !ok || m.Len() != 2 {
		t.Fatal("a new key is missing")
	}
	eventually(t, "an expired key is removed", func() bool { _, ok := m.Get("user.b"); return !ok })
	must(t, b.Delete(ctx, "user.a"))
	must(t, m.Sync(ctx))
	if m.Len() != 0 {
		t.Fatal("a deleted key is in the map")
	}
	want := []string{"user.a=1 gone=false", "user.a=2 gone=false", "user.a=3 gone=false", "user.b=1 gone=false",
		"user.b=0 gone=true", "user.a=0 gone=true"}
	if got := changes.read(); !slices.Equal(got, want) {
		t.Fatalf("reported %v", got)
	}
}

func TestWatchOfAnEmptyBucketAndSync(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	ctx, b := deadline(t), open(t, js, kv.AuthRevoked)
	m := watch(t, b, ">")
	must(t, m.Sync(ctx))
	_, err := b.Put(ctx, "k", value{})
	must(t, err)
	must(t, m.Sync(ctx))
	if _, ok := m.Get("k"); !ok {
		t.Fatal("Sync returned before the write was applied")
	}
	if _, err := kv.Watch(ctx, open(t, js, kv.GatewayLimits), ">"); !errors.Is(err, kv.ErrInvalidArgument) {
		t.Fatalf("watching a volatile bucket: %v", err)
	}
}

func TestLoadCoversRevisionsOutsideTheFilter(t *testing.T) {
	t.Parallel()
	js := mesh(t, kv.Spec{Name: "unmarked", Owner: "test"})
	ctx := deadline(t)
	b := open(t, js, kv.Spec{Name: "unmarked", Owner: "test"})
	_, err := b.Put(ctx, "user.a", value{})
	must(t, err)
	elsewhere, err := b.Put(ctx, "else.a", value{})
	must(t, err)
	m := watch(t, b, "user.>")
	must(t, m.WaitRevision(ctx, elsewhere))
}

func TestWaitRevisionEndsWithDeadlineAndClose(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	b := open(t, js, kv.AuthRevoked)
	m := watch(t, b, ">")
	ctx, cancel := context.WithTimeout(deadline(t), 20*time.Millisecond)
	defer cancel()
	if err := m.WaitRevision(ctx, 1000); !errors.Is(err, kv.ErrUnavailable) {
		t.Fatalf("waiting until the deadline: %v", err)
	}
	waited := make(chan error, 1)
	go func() { waited <- m.WaitRevision(context.Background(), 1000) }()
	m.Close()
	if err := <-waited; !errors.Is(err, kv.ErrClosed) {
		t.Fatalf("waiting on a closed map: %v", err)
	}
	if m.Fresh() {
		t.Fatal("a closed map is fresh")
	}
}

func TestMapClosesWithItsConnection(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	m := watch(t, open(t, js, kv.AuthRevoked), ">")
	js.Conn().Close()
	if err := m.WaitRevision(deadline(t), 1000); !errors.Is(err, kv.ErrClosed) {
		t.Fatalf("waiting on a closed connection: %v", err)
	}
}

func TestUndecodableValueIsZero(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	ctx, b := deadline(t), open(t, js, kv.AuthRevoked)
	reported := make(chan error, 1)
	m := watch(t, b, ">", kv.OnError[value](func(err error) { reported <- err }))
	ack, err := js.PublishMsg(ctx, &nats.Msg{
		Subject: "$KV." + kv.AuthRevoked.Name + ".k", Data: []byte(`{"name":"x","n":"not a number"}`), Header: nats.Header{},
	})
	must(t, err)
	must(t, m.WaitRevision(ctx, ack.Sequence))
	if got, ok := m.Get("k"); !ok || got != (value{}) {
		t.Fatalf("got %+v %v", got, ok)
	}
	<-reported
}

// restartable runs a server that can be stopped and restarted with the same store and port.
func restartable(t *testing.T) (js kv.JetStream, url string, down, up func()) {
	t.Helper()
	opts := options(t)
	srv := start(t, opts)
	again := *opts
	again.Port = srv.Addr().(*net.TCPAddr).Port
	return connect(t, srv.ClientURL()), srv.ClientURL(), func() { stop(srv) }, func() { fresh := again; srv = start(t, &fresh) }
}

func TestMapSurvivesRestarts(t *testing.T) {
	t.Parallel()
	js, url, down, up := restartable(t)
	ctx := deadline(t)
	must(t, kv.CreateSpecs(ctx, js, 1, marked))
	b := open(t, js, marked)
	m := watch(t, b, ">")
	kept, err := b.Put(ctx, "kept", value{"k", 0})
	must(t, err)
	_, err = b.PutTTL(ctx, "expires", value{"e", 1}, time.Second)
	must(t, err)
	must(t, m.Sync(ctx))
	for round := range 3 {
		down()
		eventually(t, "the map is stale", func() bool { return !m.Fresh() })
		if got, ok := m.Get("kept"); !ok || got.N != round {
			t.Fatalf("while the server is down: %+v %v", got, ok)
		}
		up()
		// Another client writes as soon as possible, before the map notices that the server is back.
		other := open(t, connect(t, url), marked)
		kept, err = other.Update(ctx, "kept", value{"k", round + 1}, kept)
		must(t, err)
		must(t, m.WaitRevision(ctx, kept))
		if got, _ := m.Get("kept"); got.N != round+1 {
			t.Fatalf("round %d: %+v", round, got)
		}
		eventually(t, "the map is fresh again", m.Fresh)
	}
	eventually(t, "the key that expired meanwhile is removed", func() bool { return m.Len() == 1 })
}

func TestReloadRemovesKeysWithoutMarkers(t *testing.T) {
	t.Parallel()
	opts := options(t)
	first := start(t, opts)
	js := connect(t, first.ClientURL())
	ctx := deadline(t)
	must(t, kv.Create(ctx, js, 1))
	b := open(t, js, kv.ConsentState)
	var changes log
	m := watch(t, b, ">", kv.OnChange(changes.add))
	_, err := b.Put(ctx, "gone", value{"g", 1})
	must(t, err)
	_, err = b.Put(ctx, "kept", value{"k", 2})
	must(t, err)
	must(t, m.Sync(ctx))
	port := first.Addr().(*net.TCPAddr).Port
	stop(first)

	// While the map is disconnected, the key is removed without a marker, through a server on another port.
	elsewhere := *opts
	elsewhere.Port = server.RANDOM_PORT
	second := start(t, &elsewhere)
	stream, err := connect(t, second.ClientURL()).Stream(ctx, kv.ConsentState.Stream())
	must(t, err)
	must(t, stream.Purge(ctx, jetstream.WithPurgeSubject("$KV.consent_state.gone")))
	stop(second)

	back := *opts
	back.Port = port
	start(t, &back)
	eventually(t, "the key is removed", func() bool { return m.Len() == 1 && m.Fresh() })
	if got := changes.read(); !slices.Equal(got, []string{"gone=1 gone=false", "kept=2 gone=false", "gone=0 gone=true"}) {
		t.Fatalf("reported %v", got)
	}
}

func TestMapMissesNothingAcrossReconnects(t *testing.T) {
	t.Parallel()
	srv := start(t, options(t))
	js, writer := connect(t, srv.ClientURL()), connect(t, srv.ClientURL())
	ctx := deadline(t)
	must(t, kv.Create(ctx, writer, 1))
	m := watch(t, open(t, js, kv.ConsentState), ">")
	b := open(t, writer, kv.ConsentState)
	cut, err := js.Conn().GetClientID()
	must(t, err)
	var last uint64
	for i := range 2000 {
		last, err = b.Put(ctx, fmt.Sprintf("k%d", i%50), value{"k", i})
		must(t, err)
		if i%400 == 200 {
			must(t, srv.DisconnectClientByID(cut))
			eventually(t, "reconnected", func() bool {
				id, err := js.Conn().GetClientID()
				if err == nil && id != cut {
					cut = id
					return true
				}
				return false
			})
		}
	}
	must(t, m.WaitRevision(ctx, last))
	for i := 1950; i < 2000; i++ {
		if got, ok := m.Get(fmt.Sprintf("k%d", i%50)); !ok || got.N != i {
			t.Fatalf("k%d is %+v %v", i%50, got, ok)
		}
	}
}

func BenchmarkMapGet(b *testing.B) {
	js := mesh(b)
	bucket := open(b, js, kv.ConsentState)
	for i := range 1000 {
		_, err := bucket.Put(deadline(b), fmt.Sprintf("k%d", i), value{"k", i})
		must(b, err)
	}
	m := watch(b, bucket, ">")
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = fmt.Sprintf("k%d", i)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, ok := m.Get(keys[i%1000]); !ok {
			b.Fatal("missing")
		}
		i++
	}
}
