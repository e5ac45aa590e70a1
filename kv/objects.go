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

// ObjectSpec declares a JetStream object store: for values that are too large for a bucket's key.
type ObjectSpec struct {
	// Name is the store's name: letters, digits, '_' and '-'.
	Name string
	// Owner is the NATS user that alone writes to the store and reads it.
	Owner string
	// TTL ends every object this long after it was written, should its owner have forgotten it.
	TTL time.Duration
	// Doc is one sentence on what the store holds.
	Doc string
}

// IntegrationObjects holds the parts of the integration actor's objects, whose rows say what they are and when they end.
var IntegrationObjects = ObjectSpec{
	Name:  "integration_objects",
	Owner: "integration",
	TTL:   8 * 24 * time.Hour,
	Doc:   "Parts of the files that actions take and yield by reference, each sealed with its file's own key.",
}

// ObjectStores lists the object stores of the mesh.
func ObjectStores() []ObjectSpec { return []ObjectSpec{IntegrationObjects} }

// Stream is the name of the JetStream stream that keeps the store.
func (s ObjectSpec) Stream() string { return "OBJ_" + s.Name }

// chunks and meta are the subjects of an object's bytes and of its description, as every client of NATS has them.
func (s ObjectSpec) chunks(nuid string) string { return "$O." + s.Name + ".C." + nuid }

func (s ObjectSpec) meta(name string) string {
	return s.metaPrefix() + base64.URLEncoding.EncodeToString([]byte(name))
}

func (s ObjectSpec) metaPrefix() string { return "$O." + s.Name + ".M." }

// subjects are all that the store's stream takes.
func (s ObjectSpec) subjects() []string { return []string{s.chunks(">"), s.metaPrefix() + ">"} }

// Permissions lists the subjects that the NATS user may publish for this store: all that ObjectStore asks, and nothing
// else; nil for a user with no business here.
func (s ObjectSpec) Permissions(user string) []string {
	if user != s.Owner {
		return nil
	}
	return append(s.subjects(),
		"$JS.API.STREAM.INFO."+s.Stream(), "$JS.API.STREAM.MSG.GET."+s.Stream(), "$JS.API.STREAM.PURGE."+s.Stream())
}

// apply lays what the ObjectSpec decides over config and leaves every other option as it is, as Spec.apply does. The
// stream's leader answers every get, so that a part is read by whoever has just been told of it.
func (s ObjectSpec) apply(config jetstream.StreamConfig, replicas int) jetstream.StreamConfig {
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

// ObjectStore is a handle on an object store whose objects fit into one message each. It is safe for concurrent use.
type ObjectStore struct {
	spec    ObjectSpec
	stream  jetstream.Stream
	objects jetstream.ObjectStore
}

// OpenObjects binds to a store that setup has made. ErrNoBucket when there is none, ErrUnavailable when NATS cannot be
// reached.
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

// Put stores data under name, in the place of what is there. Once it returns, the server has it as durably as it syncs.
func (o *ObjectStore) Put(ctx context.Context, name string, data []byte) error {
	meta := jetstream.ObjectMeta{Name: name, Opts: &jetstream.ObjectMetaOptions{ChunkSize: uint32(max(len(data), 1))}}
	_, err := o.objects.Put(ctx, meta, bytes.NewReader(data))
	return translate("putting an object into "+o.spec.Name, err)
}

// Get reads what Put stored; ErrNotFound when there is nothing.
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

// Delete takes an object away and leaves nothing of it; one that is not there is no error.
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
