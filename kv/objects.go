package kv

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ObjectSpec declares a JetStream object store, for values that are too large for a bucket.
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

// ObjectStores returns the object stores of the mesh.
func ObjectStores() []ObjectSpec { return []ObjectSpec{IntegrationObjects} }

// Stream is the name of the JetStream stream that holds the store.
func (s ObjectSpec) Stream() string { return "OBJ_" + s.Name }

// chunks and meta are the subjects of an object's bytes and metadata, as defined by JetStream object stores.
func (s ObjectSpec) chunks(nuid string) string { return "$O." + s.Name + ".C." + nuid }

func (s ObjectSpec) meta(name string) string {
	return s.metaPrefix() + base64.URLEncoding.EncodeToString([]byte(name))
}

func (s ObjectSpec) metaPrefix() string { return "$O." + s.Name + ".M." }

// subjects are the subjects of the store's stream.
func (s ObjectSpec) subjects() []string { return []string{s.chunks(">"), s.metaPrefix() + ">"} }

// Permissions returns the subjects that the NATS user must be allowed to publish to for this store: exactly those that ObjectStore
// uses; nil for any other user than the owner.
func (s ObjectSpec) Permissions(user string) []string {
	if user != s.Owner {
		return nil
	}
	return append(s.subjects(),
		"$JS.API.STREAM.INFO."+s.Stream(), "$JS.API.STREAM.MSG.GET."+s.Stream(), "$JS.API.STREAM.PURGE."+s.Stream())
}

// Configure sets the options that the ObjectSpec decides and keeps all others, as Spec.Configure does. The stream's leader answers every
// get, so that a part can be read as soon as its write is acknowledged.
func (s ObjectSpec) Configure(config jetstream.StreamConfig, replicas int) jetstream.StreamConfig {
	config.Name = s.Stream()
	config.Description = s.Doc
	config.Subjects = s.subjects()
	config.Retention = jetstream.LimitsPolicy
	config.Storage = jetstream.FileStorage
	config.MaxAge = s.TTL
	config.Discard = jetstream.DiscardNew
	config.AllowRollup, config.AllowDirect, config.DenyPurge = true, false, false
	config.Replicas = replicas
	return config
}

// ObjectStore is a handle on an object store whose objects each fit into one message. It is safe for concurrent use.
type ObjectStore struct {
	spec    ObjectSpec
	stream  jetstream.Stream
	objects jetstream.ObjectStore
}

// OpenObjects opens a store that `weft migrate` has created. The error is ErrNoBucket if it does not exist, ErrUnavailable if NATS cannot
// be reached.
func OpenObjects(ctx context.Context, js jetstream.JetStream, spec ObjectSpec) (*ObjectStore, error) {
	doing := "opening object store " + spec.Name
	if err := reachable(js); err != nil {
		return nil, translate(doing, err)
	}
	objects, err := js.ObjectStore(ctx, spec.Name)
	if err != nil {
		return nil, translate(doing, err)
	}
	stream, err := js.Stream(ctx, spec.Stream())
	if err != nil {
		return nil, translate(doing, err)
	}
	return &ObjectStore{spec: spec, stream: stream, objects: objects}, nil
}

// Put stores data under name and replaces any previous object. When it returns, the data is as durable as the server's sync
// interval says.
func (o *ObjectStore) Put(ctx context.Context, name string, data []byte) error {
	meta := jetstream.ObjectMeta{Name: name, Opts: &jetstream.ObjectMetaOptions{ChunkSize: uint32(max(len(data), 1))}}
	_, err := o.objects.Put(ctx, meta, bytes.NewReader(data))
	return translate("putting an object into "+o.spec.Name, err)
}

// Get returns the object, or ErrNotFound.
func (o *ObjectStore) Get(ctx context.Context, name string) ([]byte, error) {
	doing := "getting an object of " + o.spec.Name
	info, err := o.objects.GetInfo(ctx, name)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil, fmt.Errorf("%s: %w", doing, ErrNotFound)
	}
	if err != nil {
		return nil, translate(doing, err)
	}
	message, err := o.stream.GetLastMsgForSubject(ctx, o.spec.chunks(info.NUID))
	if err != nil {
		return nil, translate(doing, err)
	}
	return message.Data, nil
}

// Delete deletes an object and its chunks. Deleting an object that does not exist is not an error.
func (o *ObjectStore) Delete(ctx context.Context, name string) error {
	doing := "deleting an object of " + o.spec.Name
	info, err := o.objects.GetInfo(ctx, name, jetstream.GetObjectInfoShowDeleted())
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil
	}
	if err == nil {
		err = o.stream.Purge(ctx, jetstream.WithPurgeSubject(o.spec.chunks(info.NUID)))
	}
	if err == nil {
		err = o.stream.Purge(ctx, jetstream.WithPurgeSubject(o.spec.meta(name)))
	}
	return translate(doing, err)
}
