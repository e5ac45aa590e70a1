package kv_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/weftmesh/weft/kv"
)

// cluster is three servers in this process.
type cluster struct {
	servers [3]*server.Server
	options [3]*server.Options
}

// freePort returns a port that is free at present, so that a server can be restarted on it.
func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{}
	var routes []*url.URL
	for i := range c.options {
		o := options(t)
		o.ServerName, o.Port = fmt.Sprintf("s%d", i), freePort(t)
		o.Cluster = server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: freePort(t)}
		c.options[i] = o
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", o.Cluster.Port)})
	}
	for i, o := range c.options {
		o.Routes = routes
		c.servers[i] = start(t, o.Clone())
	}
	return c
}

// url returns the addresses of the servers, the i-th first.
func (c *cluster) url(i int) string {
	list := ""
	for n := range c.options {
		list += fmt.Sprintf("nats://127.0.0.1:%d,", c.options[(i+n)%len(c.options)].Port)
	}
	return list[:len(list)-1]
}

// restart stops the i-th server and starts it again with its files.
func (c *cluster) restart(t *testing.T, i int) {
	stop(c.servers[i])
	srv, err := server.NewServer(c.options[i].Clone())
	if err != nil {
		t.Errorf("restarting: %v", err)
		return
	}
	go srv.Start()
	c.servers[i] = srv
	srv.ReadyForConnections(10 * time.Second)
}

// writes are what a bucket has acknowledged, in order.
type writes struct {
	mu   sync.Mutex
	list []kv.Entry[value]
}

func (w *writes) add(e kv.Entry[value]) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, e)
}

func (w *writes) read() []kv.Entry[value] {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.list[:len(w.list):len(w.list)]
}

// A Map that is loaded while a server of its cluster lags behind, because it was restarted, holds everything that its revision covers, and
// everything that was acknowledged before the load.
func TestLoadFromALaggingReplica(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	js := connect(t, c.url(0))
	spec := kv.Spec{Name: "followed", Owner: "test"}
	eventually(t, "the cluster has a leader", func() bool {
		trying, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		return kv.CreateSpecs(trying, js, 3, spec) == nil
	})
	bucket := open(t, js, spec)
	var acknowledged writes
	var done atomic.Bool
	var running sync.WaitGroup
	running.Go(func() {
		for i := 0; !done.Load(); i++ {
			key := fmt.Sprintf("k%d", i%50)
			writing, cancel := context.WithTimeout(ctx, 2*time.Second)
			revision, err := bucket.Put(writing, key, value{key, i})
			cancel()
			if err == nil {
				acknowledged.add(kv.Entry[value]{Key: key, Revision: revision})
			}
		}
	})
	loads, next := 0, 0
	for i := 0; loads < 250 && ctx.Err() == nil; i++ {
		if loads >= 50+80*next && next < len(c.servers) {
			lagging := next
			running.Go(func() { c.restart(t, lagging) })
			next++
		}
		reader := connect(t, c.url(i))
		loads += loadAndCheck(ctx, t, reader, spec, &acknowledged)
		reader.Conn().Close()
	}
	done.Store(true)
	running.Wait()
	t.Logf("%d loads, %d writes", loads, len(acknowledged.read()))
	if loads < 100 {
		t.Errorf("only %d loads succeeded", loads)
	}
}

// loadAndCheck loads a Map and checks what it claims. It returns how many loads succeeded.
func loadAndCheck(ctx context.Context, t *testing.T, js kv.JetStream, spec kv.Spec, acknowledged *writes) int {
	t.Helper()
	loading, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	bucket, err := kv.Open[value](loading, js, spec)
	if err != nil {
		return 0 // a server is just being restarted
	}
	before := acknowledged.read()
	m, err := kv.Watch(loading, bucket, ">")
	if err != nil {
		return 0
	}
	defer m.Close()
	covered := m.Revision()
	after := acknowledged.read()
	for _, e := range after[max(0, len(before)-100):] {
		if got, _ := m.Entry(e.Key); got.Revision < e.Revision && e.Revision <= covered {
			t.Errorf("the Map claims revision %d and has revision %d of %s, not %d", covered, got.Revision, e.Key, e.Revision)
		}
	}
	for _, e := range before[max(0, len(before)-100):] {
		if got, _ := m.Entry(e.Key); got.Revision < e.Revision {
			t.Errorf("%s, acknowledged before the load with revision %d, is in the Map with revision %d", e.Key, e.Revision, got.Revision)
		}
	}
	if len(before) > 0 {
		last := before[len(before)-1]
		if err := m.WaitRevision(loading, last.Revision); err != nil && !errors.Is(err, kv.ErrUnavailable) {
			t.Errorf("waiting for an acknowledged revision: %v", err)
		}
	}
	return 1
}
