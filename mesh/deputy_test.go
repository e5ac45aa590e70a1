package mesh_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// The server does not check permissions for the reply subject of a JetStream request, nor for the delivery subject of a consumer: a user
// can have it publish a message anywhere (a confused deputy). These tests do that with every user's key, in every way, on every stream and
// bucket. They derive from the declarations, so that a new stream, bucket or user is covered by itself.

// target is a subject of a declared stream or bucket.
type target struct {
	stream, subject, author string
}

// targets returns a subject of each author in each stream, bucket and object store.
func targets() []target {
	var list []target
	for _, s := range subjects.Streams() {
		for _, writer := range s.Writers {
			subject := strings.NewReplacer("*", "0", ">", writer+".x").Replace(s.Subjects[0])
			list = append(list, target{s.Name, subject, s.Author(subject)})
		}
	}
	for _, spec := range kv.All() {
		for _, key := range append(slices.Clone(spec.Writers), "k") {
			if key += ".k"; spec.Author(key) != "" {
				list = append(list, target{spec.Stream(), "$KV." + spec.Name + "." + key, spec.Author(key)})
			}
		}
	}
	for _, spec := range kv.ObjectStores() {
		list = append(list, target{spec.Stream(), spec.Prefix() + "C.k", spec.Owner})
	}
	return list
}

// authentic reports whether a reader accepts a message of a stream.
func authentic(conn *mesh.Conn, t target, m *jetstream.RawStreamMsg) bool {
	author := mesh.StreamAuthor(m.Subject)
	for _, spec := range kv.All() {
		if key, ok := spec.Key(m.Subject); ok {
			author = spec.Author(key)
		}
	}
	if strings.HasPrefix(m.Subject, "$O.") {
		author = t.author
	}
	return mesh.StreamOf(m.Subject) == t.stream && conn.JS.Verify(author, m.Subject, m.Header, m.Data, m.Time) == nil
}

// held returns the messages of a stream.
func held(t *testing.T, m *actortest.Mesh, stream string) []*jetstream.RawStreamMsg {
	t.Helper()
	opened, err := m.Conn(t, mesh.UserOperator).JS.Stream(t.Context(), stream)
	if err != nil {
		t.Fatalf("the stream %s: %v", stream, err)
	}
	var list []*jetstream.RawStreamMsg
	for sequence := uint64(1); ; {
		message, err := opened.GetMsg(t.Context(), sequence, jetstream.WithGetMsgSubject(">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, message)
		sequence = message.Sequence + 1
	}
}

// publish has the author of a target publish on it, as a reader expects it.
func publish(t *testing.T, m *actortest.Mesh, to target) {
	t.Helper()
	_, err := m.Conn(t, to.author).JS.PublishMsg(t.Context(), &nats.Msg{Subject: to.subject, Data: []byte(`{}`), Header: nats.Header{
		jetstream.ExpectedLastSubjSeqHeader: {"0"},
	}})
	if err != nil {
		t.Fatalf("%s publishes %s: %v", to.author, to.subject, err)
	}
}

// deputy is a user that has the server publish.
type deputy struct {
	t    *testing.T
	conn *mesh.Conn
	// streams are those that it may read by consumers of its own; own is a subject that it may publish on, if any.
	streams []string
	own     string
	tries   int
}

func newDeputy(t *testing.T, m *actortest.Mesh, user string) *deputy {
	d := &deputy{t: t, conn: m.Conn(t, user)}
	for _, subject := range mesh.PermissionsOf(user).Publish {
		if stream, ok := strings.CutPrefix(subject, "$JS.API.CONSUMER.CREATE."); ok {
			d.streams = append(d.streams, strings.TrimSuffix(stream, ".>"))
		}
	}
	for _, to := range targets() {
		if to.author == user && !strings.HasPrefix(to.subject, "$") {
			d.own = to.subject
		}
	}
	return d
}

// attack tries every way of having the server publish on a subject. Nothing of it may have an effect; it is not waited for.
func (d *deputy) attack(subject string) {
	d.tries++
	if d.own != "" { // the acknowledgement, and the error, of a message of its own
		for _, header := range []nats.Header{nil, {"Nats-Expected-Last-Sequence": {"77777"}}} {
			d.send(&nats.Msg{Subject: d.own, Reply: subject, Header: header, Data: []byte(`{}`)})
		}
	}
	for i, stream := range d.streams {
		for _, request := range []string{"STREAM.MSG.GET." + stream, "DIRECT.GET." + stream} {
			d.send(&nats.Msg{Subject: "$JS.API." + request, Reply: subject, Data: []byte(`{"seq":1}`)})
		}
		d.send(&nats.Msg{Subject: "$JS.API.STREAM.INFO." + stream, Reply: subject})
		name := fmt.Sprintf("d%d_%d", d.tries, i)
		pull := map[string]any{"stream_name": stream, "config": map[string]any{"name": name, "ack_policy": "none", "mem_storage": true, "inactive_threshold": int64(time.Minute)}}
		push := map[string]any{"stream_name": stream, "config": map[string]any{
			"name": name + "p", "ack_policy": "none", "mem_storage": true, "deliver_subject": subject, "inactive_threshold": int64(time.Minute),
		}}
		for consumer, config := range map[string]any{name: pull, name + "p": push} {
			body, err := json.Marshal(config)
			if err != nil {
				d.t.Fatal(err)
			}
			d.send(&nats.Msg{Subject: "$JS.API.CONSUMER.CREATE." + stream + "." + consumer, Reply: d.conn.NewInbox(), Data: body})
		}
		for range 2 { // the messages, and the statuses that end the request
			d.send(&nats.Msg{Subject: "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + name, Reply: subject, Data: []byte(`{"batch":100,"no_wait":true}`)})
		}
	}
	for _, c := range subjects.Consumers() {
		if c.Owner == d.conn.User {
			d.send(&nats.Msg{Subject: "$JS.API.CONSUMER.MSG.NEXT." + c.Stream + "." + c.Durable, Reply: subject, Data: []byte(`{"batch":1,"no_wait":true}`)})
		}
	}
}

func (d *deputy) send(m *nats.Msg) {
	if err := d.conn.Conn.PublishMsg(m); err != nil {
		d.t.Fatal(err)
	}
}

// settle waits until the server has carried out everything before, which the requests of an attack queue up behind.
func (d *deputy) settle() {
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	defer cancel()
	for range 3 {
		if err := d.conn.Conn.FlushWithContext(ctx); err != nil {
			d.t.Fatal(err)
		}
		for _, stream := range d.streams {
			if _, err := d.conn.JS.Stream(ctx, stream); err != nil {
				d.t.Fatal(err)
			}
		}
	}
}

// deputies are the users whose keys an attacker may have. With the key of setup one may change every stream.
func deputies() []string {
	return slices.DeleteFunc(mesh.Users(), func(user string) bool { return user == mesh.UserMigrate })
}

func TestNoUserHasTheServerPublishForAnother(t *testing.T) {
	t.Parallel()
	for _, user := range deputies() {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			m := actortest.Start(t, actortest.Quiet())
			for _, to := range targets() {
				publish(t, m, to)
			}
			before := map[string]int{}
			for _, to := range targets() {
				before[to.stream] = len(held(t, m, to.stream))
			}
			d := newDeputy(t, m, user)
			for _, to := range targets() {
				if to.author == user {
					continue
				}
				d.attack(to.subject)
				// A message that the attacker has signed, with everything that the author's would have.
				forged := &nats.Msg{Subject: to.subject, Data: []byte(`{"forged":true}`)}
				d.conn.JS.Sign(forged)
				if d.own != "" {
					d.send(&nats.Msg{Subject: d.own, Header: forged.Header, Data: forged.Data})
				}
			}
			d.settle()
			planted := 0
			for _, to := range targets() {
				if to.author == user {
					continue
				}
				accepted := 0
				for _, message := range held(t, m, to.stream) {
					if message.Subject == to.subject && authentic(m.Conn(t, to.author), to, message) {
						accepted++
					} else if message.Subject == to.subject {
						planted++
					}
				}
				expired := accepted == 0 && strings.HasPrefix(to.subject, "$KV."+kv.Guards.Name)
				if accepted != 1 && !expired {
					t.Errorf("%s: a reader of %s accepts %d messages, want the author's one", user, to.subject, accepted)
				}
				if n := len(held(t, m, to.stream)); n < before[to.stream] && !expired {
					t.Errorf("%s: %s holds %d messages, held %d", user, to.stream, n, before[to.stream])
				}
			}
			if planted == 0 && len(d.streams) > 0 {
				t.Errorf("%s: nothing reached a foreign subject: the test does not attack", user)
			}
		})
	}
}

// What the server answers to a pull without content would, on a subject of JetStream's API, delete or purge any stream.
func TestNoUserHasTheServerCallItsAPI(t *testing.T) {
	t.Parallel()
	for _, user := range deputies() {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			m := actortest.Start(t, actortest.Quiet())
			for _, to := range targets() {
				publish(t, m, to)
			}
			d := newDeputy(t, m, user)
			for _, to := range targets() {
				for _, request := range []string{"STREAM.PURGE.", "STREAM.DELETE.", "STREAM.LEADER.STEPDOWN."} {
					d.attack("$JS.API." + request + to.stream)
				}
			}
			for _, c := range subjects.Consumers() {
				for _, request := range []string{"CONSUMER.DELETE.", "CONSUMER.RESET."} {
					d.attack("$JS.API." + request + c.Stream + "." + c.Durable)
				}
			}
			d.attack("$JS.API.STREAM.CREATE.OTHER")
			d.settle()
			for _, to := range targets() {
				if strings.HasPrefix(to.subject, "$KV."+kv.Guards.Name) {
					continue // expires
				}
				if !slices.ContainsFunc(held(t, m, to.stream), func(message *jetstream.RawStreamMsg) bool { return message.Subject == to.subject }) {
					t.Errorf("%s: %s has lost its message", user, to.subject)
				}
			}
			for _, c := range subjects.Consumers() {
				if _, err := m.Conn(t, c.Owner).JS.Consumer(t.Context(), c.Stream, c.Durable); err != nil {
					t.Errorf("%s: the durable %s: %v", user, c.Durable, err)
				}
			}
		})
	}
}

func TestNobodyReadsDirectly(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	for _, user := range mesh.Users() {
		for _, subject := range mesh.PermissionsOf(user).Publish {
			if strings.Contains(subject, "DIRECT.GET") {
				t.Errorf("%s may publish %s", user, subject)
			}
		}
	}
	for _, to := range targets() {
		stream, err := m.Conn(t, mesh.UserOperator).JS.Stream(t.Context(), to.stream)
		if err != nil {
			t.Fatal(err)
		}
		c := stream.CachedInfo().Config
		if c.AllowDirect || c.MirrorDirect || c.AllowRollup || c.RePublish != nil || c.AllowMsgSchedules || c.SubjectTransform != nil {
			t.Errorf("%s is configured with %+v", to.stream, c)
		}
	}
}

func TestASignatureCoversTheWholeMessage(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	auth, reader := m.Conn(t, "auth"), m.Conn(t, "gateway")
	now := time.Now()
	for name, test := range map[string]struct {
		change func(*nats.Msg)
		stored time.Time
		author string
		good   bool
	}{
		"as it was signed":             {func(*nats.Msg) {}, now, "auth", true},
		"stored a little later":        {func(*nats.Msg) {}, now.Add(mesh.SignatureAge / 2), "auth", true},
		"stored again much later":      {func(*nats.Msg) {}, now.Add(mesh.SignatureAge + time.Minute), "auth", false},
		"stored long before":           {func(*nats.Msg) {}, now.Add(-mesh.SignatureAge - time.Minute), "auth", false},
		"of another author":            {func(*nats.Msg) {}, now, "consent", false},
		"of nobody":                    {func(*nats.Msg) {}, now, "", false},
		"other data":                   {func(m *nats.Msg) { m.Data = []byte(`{"b":1}`) }, now, "auth", false},
		"another subject":              {func(m *nats.Msg) { m.Subject += "x" }, now, "auth", false},
		"another header":               {func(m *nats.Msg) { m.Header.Set("Weft-Event", "x") }, now, "auth", false},
		"a header of the server":       {func(m *nats.Msg) { m.Header.Set("Nats-Stream", "EVENTS") }, now, "auth", false},
		"a repeated header":            {func(m *nats.Msg) { m.Header.Add("Kind", "a") }, now, "auth", false},
		"without a header":             {func(m *nats.Msg) { m.Header.Del("Kind") }, now, "auth", false},
		"without what bars repetition": {func(m *nats.Msg) { m.Header.Del(jetstream.MsgIDHeader) }, now, "auth", false},
		"without a signature":          {func(m *nats.Msg) { m.Header.Del(mesh.HeaderSignature) }, now, "auth", false},
		"with two signatures":          {func(m *nats.Msg) { m.Header.Add(mesh.HeaderSignature, m.Header.Get(mesh.HeaderSignature)) }, now, "auth", false},
		"with a malformed signature":   {func(m *nats.Msg) { m.Header.Set(mesh.HeaderSignature, "k.x.y") }, now, "auth", false},
		"as if only auth could verify": {func(m *nats.Msg) {
			m.Header.Set(mesh.HeaderSignature, "m"+strings.TrimPrefix(m.Header.Get(mesh.HeaderSignature), "k"))
		}, now, "auth", false},
	} {
		message := &nats.Msg{Subject: "weft.event.v1.auth.x", Data: []byte(`{"a":1}`), Header: nats.Header{"Kind": {"a"}}}
		auth.JS.Sign(message)
		test.change(message)
		err := reader.JS.Verify(test.author, message.Subject, message.Header, message.Data, test.stored)
		if (err == nil) != test.good || err != nil && !errors.Is(err, mesh.ErrAuthor) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Each user may publish exactly on the subjects that readers attribute to it, and the server refuses a repetition for as long as a
// signature is accepted.
func TestAuthorsAreThoseThatMayPublish(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	for _, user := range mesh.Users() {
		conn := m.Conn(t, user)
		for _, to := range targets() {
			check(t, user, "publish", to.subject, mayPublish(t, conn, to.subject), user == to.author)
		}
	}
	for _, s := range subjects.Streams() {
		if s.Duplicates < 2*mesh.SignatureAge {
			t.Errorf("%s refuses duplicates for %s only", s.Name, s.Duplicates)
		}
	}
}

// plantOver has an attacker overwrite a key of a bucket with an empty message, which nats.go would take for a value.
func plantOver(t *testing.T, m *actortest.Mesh, user string, bucket kv.Spec, key string) {
	t.Helper()
	d := newDeputy(t, m, user)
	count := len(held(t, m, bucket.Stream()))
	d.attack("$KV." + bucket.Name + "." + key)
	d.settle()
	actortest.Eventually(t, "the planted message is in the bucket", func() bool { return len(held(t, m, bucket.Stream())) > count })
}

// A key of every bucket keeps what its author wrote, for processes that watch it, that read it, and that start later.
func TestPlantedMessagesDisplaceNothing(t *testing.T) {
	t.Parallel()
	for _, spec := range kv.All() {
		if spec.PerWriter() {
			continue
		}
		t.Run(spec.Name, func(t *testing.T) {
			t.Parallel()
			m := actortest.Start(t, actortest.Quiet())
			ctx := t.Context()
			reader := spec.Owner
			if len(spec.Readers) > 0 {
				reader = spec.Readers[0]
			}
			owner, err := kv.Open[map[string]int](ctx, m.Conn(t, spec.Owner).JS, spec)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := owner.PutTTL(ctx, "k", map[string]int{"n": 1}, time.Hour); err != nil {
				t.Fatal(err)
			}
			readers, err := kv.Open[map[string]int](ctx, m.Conn(t, reader).JS, spec)
			if err != nil {
				t.Fatal(err)
			}
			seen := func(when string, n int) {
				t.Helper()
				if got, err := readers.Get(ctx, "k"); err != nil || got.Value["n"] != n {
					t.Errorf("%s, Get: %v, %v", when, got.Value, err)
				}
				if keys, err := readers.Keys(ctx, ">"); err != nil || !slices.Equal(keys, []string{"k"}) {
					t.Errorf("%s, Keys: %v, %v", when, keys, err)
				}
				if spec.Storage != kv.File {
					return
				}
				late, err := kv.Watch(ctx, readers, ">")
				if err != nil {
					t.Fatal(err)
				}
				defer late.Close()
				if got, ok := late.Get("k"); !ok || got["n"] != n || late.Len() != 1 {
					t.Errorf("%s, a new Map: %v %v, %d keys", when, got, ok, late.Len())
				}
			}
			plantOver(t, m, "notification", spec, "k")
			plantOver(t, m, "notification", spec, "other")
			seen("after planting", 1)
			if _, err := readers.Get(ctx, "other"); !errors.Is(err, kv.ErrNotFound) {
				t.Errorf("a key that only an attacker wrote: %v", err)
			}
			changed, err := owner.Mutate(ctx, "k", func(old map[string]int, exists bool) (map[string]int, bool, error) {
				return map[string]int{"n": old["n"] + 1}, exists, nil
			}, time.Hour)
			if err != nil {
				t.Fatalf("changing an overwritten key: %v", err)
			}
			seen("after a change", 2)
			plantOver(t, m, "notification", spec, "k")
			if err := owner.DeleteRevision(ctx, "k", changed.Revision); err != nil {
				t.Fatalf("deleting an overwritten key: %v", err)
			}
			if _, err := readers.Get(ctx, "k"); !errors.Is(err, kv.ErrNotFound) {
				t.Errorf("a deleted key: %v", err)
			}
		})
	}
}

func TestPlantedLeasesAreIgnored(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	lease, err := kv.HoldLease(ctx, m.Conn(t, "workflow").JS, kv.Guards, "workflow.a", mesh.LeaseLength)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"workflow.a", "workflow.a.closed", "consent.nobody"} {
		plantOver(t, m, "notification", kv.Guards, key)
	}
	live, err := kv.Live(ctx, m.Conn(t, "auth").JS, kv.Guards, ">")
	if err != nil || !slices.Equal(live, []string{"workflow.a"}) || !lease.Valid() {
		t.Errorf("leases %v, %v", live, err)
	}
}
