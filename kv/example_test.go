package kv_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/kv"
)

// embeddedServer runs a NATS server for an example and returns a JetStream connection to it.
func embeddedServer() (js kv.JetStream, shutdown func(), err error) {
	dir, err := os.MkdirTemp("", "kv-example")
	if err != nil {
		return nil, nil, err
	}
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true,
	})
	if err != nil {
		return nil, nil, err
	}
	srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		return nil, nil, errors.New("the server does not accept connections")
	}
	conn, err := nats.Connect(srv.ClientURL())
	if err != nil {
		return nil, nil, err
	}
	stream, err := jetstream.New(conn)
	return author{stream, "$JS.API."}, func() {
		conn.Close()
		srv.Shutdown()
		srv.WaitForShutdown()
		_ = os.RemoveAll(dir)
	}, err
}

// profile is the value of the examples' buckets.
type profile struct {
	Name   string `json:"name"`
	Logins int    `json:"logins"`
}

// Update is a compare-and-set: it fails if the key has changed since it was read. Mutate retries until it succeeds.
func ExampleBucket_Update() {
	ctx := context.Background()
	js, shutdown, err := embeddedServer()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer shutdown()
	profiles := kv.Spec{Name: "profiles", Owner: "example", Doc: "Profiles by user."}
	if err := kv.CreateSpecs(ctx, js, 1, profiles); err != nil {
		fmt.Println(err)
		return
	}
	bucket, err := kv.Open[profile](ctx, js, profiles)
	if err != nil {
		fmt.Println(err)
		return
	}
	key := kv.EncodeKey("ada@example.com")
	read, err := bucket.Create(ctx, key, profile{Name: "Ada"}, 0)
	fmt.Println("create:", err)
	_, err = bucket.Update(ctx, key, profile{Name: "Ada", Logins: 1}, read)
	fmt.Println("update:", err)
	_, err = bucket.Update(ctx, key, profile{Name: "Ada", Logins: 9}, read)
	fmt.Println("update at an old revision conflicts:", errors.Is(err, kv.ErrConflict))
	changed, err := bucket.Mutate(ctx, key, func(old profile, exists bool) (profile, bool, error) {
		old.Logins++
		return old, exists, nil
	}, 0)
	fmt.Println("mutate:", changed.Value.Logins, err)
	// Output:
	// create: <nil>
	// update: <nil>
	// update at an old revision conflicts: true
	// mutate: 2 <nil>
}

// A Map is read from memory. After WaitRevision, or Sync, it reflects a write.
func ExampleWatch() {
	ctx := context.Background()
	js, shutdown, err := embeddedServer()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer shutdown()
	profiles := kv.Spec{Name: "profiles", Owner: "example", Doc: "Profiles by user."}
	if err := kv.CreateSpecs(ctx, js, 1, profiles); err != nil {
		fmt.Println(err)
		return
	}
	bucket, err := kv.Open[profile](ctx, js, profiles)
	if err != nil {
		fmt.Println(err)
		return
	}
	watched, err := kv.Watch(ctx, bucket, ">")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer watched.Close()
	revision, err := bucket.Put(ctx, "ada", profile{Name: "Ada"})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := watched.WaitRevision(ctx, revision); err != nil {
		fmt.Println(err)
		return
	}
	value, found := watched.Get("ada")
	fmt.Println(value.Name, found, watched.Fresh())
	if err := bucket.Delete(ctx, "ada"); err != nil {
		fmt.Println(err)
		return
	}
	if err := watched.Sync(ctx); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(watched.Len())
	// Output:
	// Ada true true
	// 0
}

// A lease keeps a key alive until it is closed or its process dies.
func ExampleHoldLease() {
	ctx := context.Background()
	js, shutdown, err := embeddedServer()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer shutdown()
	if err := kv.CreateSpecs(ctx, js, 1, kv.Guards); err != nil {
		fmt.Println(err)
		return
	}
	lease, err := kv.HoldLease(ctx, js, kv.Guards, kv.EncodeKey("gateway", "process-1"), kv.Guards.TTL)
	if err != nil {
		fmt.Println(err)
		return
	}
	live, err := kv.Live(ctx, js, kv.Guards, "gateway.*")
	fmt.Println(lease.Valid(), live, err)
	if err := lease.Close(ctx); err != nil {
		fmt.Println(err)
		return
	}
	live, err = kv.Live(ctx, js, kv.Guards, "gateway.*")
	fmt.Println(lease.Valid(), live, err)
	// Output:
	// true [gateway.process-1] <nil>
	// false [] <nil>
}

// No part of a key can add tokens, so keys made of user input stay within their place.
func ExampleEncodeKey() {
	key := kv.EncodeKey("user-1", "a.b@example.com")
	parts, err := kv.DecodeKey(key)
	fmt.Println(key)
	fmt.Printf("%q %v\n", parts, err)
	// Output:
	// user-1.=YS5iQGV4YW1wbGUuY29t
	// ["user-1" "a.b@example.com"] <nil>
}
