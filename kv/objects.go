package kv

import (
	"context"
	"encoding/base64"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ObjectSpec declares a store of objects, for values that are too large for a bucket.
type ObjectSpec struct {
	// Name is the store's name: letters, digits, '_' and '-'.
	Name string
	// Owner is the only NATS user that reads and writes the store.
	Owner string
	// TTL deletes every object this long after it was written, in case its owner did not.
	TTL time.Duration
	// Doc describes the contents in one sentence.
	Doc string
}

// IntegrationObjects holds the parts of the integration actor's objects. Their metadata and expiry are in SQL.
var IntegrationObjects = ObjectSpec{
	Name:  "integration_objects",
	Owner: "integration",
	TTL:   8 * 24 * time.Hour,
	Doc:   "Parts of the files that actions take and return by reference, each sealed with its file's own key.",
}

// ConsentExports holds the parts of the files that answer requests for access and portability. Their metadata and expiry are in SQL.
var ConsentExports = ObjectSpec{
	Name:  "consent_exports",
	Owner: "consent",
	TTL:   8 * 24 * time.Hour,
	Doc:   "Parts of the files that answer privacy requests, each sealed with its file's own key.",
}

// ObjectStores returns the object stores of the mesh.
func ObjectStores() []ObjectSpec { return []ObjectSpec{ConsentExports, IntegrationObjects} }

// Stream is the name of the JetStream stream that holds the store.
func (s ObjectSpec) Stream() string { return "OBJ_" + s.Name }

// Prefix is what the subjects of the store begin with.
func (s ObjectSpec) Prefix() string { return "$O." + s.Name + "." }

// subject is the subject of an object.
func (s ObjectSpec) subject(name string) string {
	return s.Prefix() + "C." + base64.RawURLEncoding.EncodeToString([]byte(name))
}

// Permissions returns the subjects that the NATS user must be allowed to publish to for this store: exactly those that ObjectStore
// uses; nil for any other user than the owner.
func (s ObjectSpec) Permissions(user string) []string {
	if user != s.Owner {
		return nil
	}
	return []string{
		s.Prefix() + ">", "$JS.API.STREAM.INFO." + s.Stream(), "$JS.API.STREAM.MSG.GET." + s.Stream(), "$JS.API.*.STREAM.PURGE." + s.Stream(),
	}
}

// Configure sets the options that the ObjectSpec decides and keeps all others, as Spec.Configure does. The stream's leader answers every
// get, so that a part can be read as soon as its write is acknowledged.
func (s ObjectSpec) Configure(config jetstream.StreamConfig, replicas int) jetstream.StreamConfig {
	config.Name = s.Stream()
	config.Description = s.Doc
	config.Subjects = []string{s.Prefix() + ">"}
	config.Retention = jetstream.LimitsPolicy
	config.Storage = jetstream.FileStorage
	config.MaxAge = s.TTL
	config.Discard = jetstream.DiscardNew
	config.AllowRollup, config.AllowDirect, config.DenyPurge = false, false, false
	config.Replicas = replicas
	return config
}

// ObjectStore is a handle on a store of objects that each fit into one message. Unlike the objects of nats.go, each message is signed by
// the owner, and no message that somebody else had the server copy into the store displaces one. It is safe for concurrent use.
type ObjectStore struct {
	source

	spec ObjectSpec
}

// OpenObjects opens a store that `weft migrate` has created. The error is ErrNoBucket if it does not exist, ErrUnavailable if NATS cannot
// be reached.
func OpenObjects(ctx context.Context, js JetStream, spec ObjectSpec) (*ObjectStore, error) {
	from, err := openSource(ctx, js, spec.Stream(), func(string) string { return spec.Owner })
	if err != nil {
		return nil, translate("opening object store "+spec.Name, err)
	}
	return &ObjectStore{source: from, spec: spec}, nil
}

// Put stores data under name and replaces any previous object. When it returns, the data is as durable as the server's sync
// interval says.
func (o *ObjectStore) Put(ctx context.Context, name string, data []byte) error {
	doing := "putting an object into " + o.spec.Name
	message := &nats.Msg{Subject: o.spec.subject(name), Data: data, Header: nats.Header{}}
	var expect uint64
	for range writeAttempts {
		_, err := o.publish(ctx, message, 0, expect)
		if err == nil && expect > 0 {
			err = o.js.PurgeLater(o.spec.Stream(), message.Subject, expect+1)
		}
		if !errors.Is(classify(err), ErrConflict) {
			return translate(doing, err)
		}
		found, err := o.last(ctx, message.Subject)
		if err != nil && !errors.Is(classify(err), ErrNotFound) {
			return translate(doing, err)
		}
		expect = found.latest
	}
	return translate(doing, ErrConflict)
}

// Get returns the object, or ErrNotFound.
func (o *ObjectStore) Get(ctx context.Context, name string) ([]byte, error) {
	found, err := o.last(ctx, o.spec.subject(name))
	if err == nil && found.sequence == 0 {
		err = ErrNotFound
	}
	return found.data, translate("getting an object of "+o.spec.Name, err)
}

// Delete deletes an object. Deleting an object that does not exist is not an error.
func (o *ObjectStore) Delete(ctx context.Context, name string) error {
	doing := "deleting an object of " + o.spec.Name
	if err := reachable(o.js); err != nil {
		return translate(doing, err)
	}
	return translate(doing, o.js.Purge(ctx, o.spec.Stream(), o.spec.subject(name), 0))
}
