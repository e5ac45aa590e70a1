package mesh_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

var update = flag.Bool("update", false, "regenerate ../nats.conf")

func TestConfIsCurrent(t *testing.T) {
	t.Parallel()
	if *update {
		if err := os.WriteFile("../nats.conf", []byte(mesh.RenderConf()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile("../nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	if string(file) != mesh.RenderConf() {
		t.Error("nats.conf is outdated; run go test ./mesh -run TestConfIsCurrent -update")
	}
	for _, secret := range []string{"SU", "SA", "password", "token"} {
		if strings.Contains(string(file), `"`+secret) {
			t.Errorf("nats.conf contains a string that begins with %s", secret)
		}
	}
}

func TestSetupIsIdempotent(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	if err := mesh.Setup(t.Context(), m.Conn(t, mesh.UserMigrate).JS, 1); err != nil {
		t.Fatal(err)
	}
}

func TestUnknownUsersCannotConnect(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	unknown, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := unknown.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	auth := m.Options(t, "auth")
	known, err := nkeys.FromSeed(auth.Seed)
	if err != nil {
		t.Fatal(err)
	}
	knownPublic, err := known.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, option := range map[string]nats.Option{
		"no credentials": nats.Name("nobody"),
		"a password":     nats.UserInfo("auth", "auth"),
		"a token":        nats.Token("auth"),
		"an unknown key": nats.Nkey(public, unknown.Sign),
		"auth's public key with another signature": nats.Nkey(knownPublic, unknown.Sign),
		"an unknown key with a signature of auth":  nats.Nkey(public, known.Sign),
	} {
		conn, err := nats.Connect(m.URL(), option)
		if err == nil {
			conn.Close()
			t.Errorf("a client with %s can connect", name)
		} else if !strings.Contains(strings.ToLower(err.Error()), "authorization") {
			t.Errorf("with %s: %v", name, err)
		}
	}
	conn, err := nats.Connect(m.URL(), nats.Nkey(knownPublic, known.Sign))
	if err != nil {
		t.Fatalf("auth: %v", err)
	}
	conn.Close()
}

// mayPublish reports whether the server accepts a message on subject. Call it once per subject and connection.
func mayPublish(t *testing.T, conn *mesh.Conn, subject string) bool {
	t.Helper()
	if err := conn.Publish(subject, nil); err != nil {
		t.Fatal(err)
	}
	return !refused(t, conn, fmt.Sprintf("Permissions Violation for Publish to %q", subject))
}

func maySubscribe(t *testing.T, conn *mesh.Conn, subject string) bool {
	t.Helper()
	sub, err := conn.SubscribeSync(subject)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	return !refused(t, conn, fmt.Sprintf("Permissions Violation for Subscription to %q", subject))
}

// refused reports whether the server has sent the error what. Flushing ensures that it has arrived.
func refused(t *testing.T, conn *mesh.Conn, what string) bool {
	t.Helper()
	if err := conn.FlushTimeout(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	err := conn.LastError()
	return err != nil && strings.Contains(strings.ToLower(err.Error()), strings.ToLower(what))
}

func check(t *testing.T, user, doing, subject string, got, want bool) {
	t.Helper()
	if got != want {
		t.Errorf("%s may %s %s: %t, want %t", user, doing, subject, got, want)
	}
}

func TestServiceSubjectsAreReservedForTheirService(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	for _, user := range mesh.Users() {
		conn := m.Conn(t, user)
		plain := user == mesh.UserGateway || user == mesh.UserOperator
		for _, d := range subjects.Endpoints() {
			check(t, user, "publish", d.Subject, mayPublish(t, conn, d.Subject), plain)
			for _, service := range mesh.Users() {
				subject := d.ServiceSubject(service)
				check(t, user, "publish", subject, mayPublish(t, conn, subject), service == user && d.Access.AllowsService(user))
			}
			for _, kind := range subjects.EnrolledKinds() {
				enrolled := d.EnrolledSubject(kind, "n1")
				check(t, user, "publish", enrolled, mayPublish(t, conn, enrolled), false)
			}
		}
		barrier := user == "auth" || user == "consent"
		check(t, user, "publish", subjects.GuardBarrier, mayPublish(t, conn, subjects.GuardBarrier), barrier)
	}
}

func TestBucketsAreReservedForTheirUsers(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	for _, user := range mesh.Users() {
		conn := m.Conn(t, user)
		for _, spec := range kv.All() {
			for _, key := range append(mesh.Users(), "other") {
				subject := "$KV." + spec.Name + "." + key + ".k"
				own := spec.Owner == user || slices.Contains(spec.Writers, user) && key == user
				check(t, user, "publish", subject, mayPublish(t, conn, subject), own)
			}
			reads := spec.Owner == user || slices.Contains(spec.Readers, user) || user == mesh.UserOperator
			subject := "$JS.API.CONSUMER.CREATE." + spec.Stream() + ".x"
			check(t, user, "publish", subject, mayPublish(t, conn, subject), reads)
		}
	}
}

func TestStreamsAreReservedForSetupAndTheirWriters(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	var names []string
	for _, s := range subjects.Streams() {
		names = append(names, s.Name)
	}
	for _, spec := range kv.All() {
		names = append(names, spec.Stream())
	}
	for _, spec := range kv.ObjectStores() {
		names = append(names, spec.Stream())
	}
	for _, user := range mesh.Users() {
		conn := m.Conn(t, user)
		for _, name := range append(names, "OTHER") {
			purger := slices.ContainsFunc(subjects.Streams(), func(s subjects.Stream) bool {
				return s.Name == name && slices.Contains(s.Purgers, user)
			})
			setup := user == mesh.UserMigrate && name != "OTHER"
			volatile := slices.ContainsFunc(kv.All(), func(s kv.Spec) bool { return s.Stream() == name && s.Storage == kv.Volatile })
			owner := slices.ContainsFunc(kv.All(), func(s kv.Spec) bool { return s.Stream() == name && s.Owner == user })
			for verb, want := range map[string]bool{
				"STREAM.CREATE": setup, "STREAM.UPDATE": setup, "STREAM.DELETE": false, "STREAM.PURGE": false,
				"token.STREAM.DELETE": setup && volatile, "token.STREAM.PURGE": purger || owner || ownsStore(user, name),
				"STREAM.MSG.DELETE": user == mesh.UserOperator && name == "DEAD",
				"STREAM.RESTORE":    false, "STREAM.SNAPSHOT": false, "STREAM.LEADER.STEPDOWN": false,
			} {
				subject := "$JS.API." + verb + "." + name
				check(t, user, "publish", subject, mayPublish(t, conn, subject), want)
			}
		}
		for _, s := range subjects.Streams() {
			for _, subject := range s.Subjects {
				subject = strings.TrimSuffix(strings.TrimSuffix(subject, ">"), "*") + "somebody.x"
				if strings.Contains(s.Subjects[0], ".*") {
					subject = strings.TrimSuffix(subject, ".x")
				}
				sole := len(s.Writers) == 1 && s.Writers[0] == user
				check(t, user, "publish", subject, mayPublish(t, conn, subject), sole)
			}
		}
	}
}

func ownsStore(user, stream string) bool {
	return slices.ContainsFunc(kv.ObjectStores(), func(s kv.ObjectSpec) bool { return s.Stream() == stream && s.Owner == user })
}

func TestObjectStoresAreReservedForTheirOwner(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	for _, spec := range kv.ObjectStores() {
		for _, user := range mesh.Users() {
			conn := m.Conn(t, user)
			for _, subject := range []string{"$O." + spec.Name + ".C.x", "$O." + spec.Name + ".M.x"} {
				check(t, user, "publish", subject, mayPublish(t, conn, subject), user == spec.Owner)
			}
			subject := "$JS.API.STREAM.MSG.GET." + spec.Stream()
			check(t, user, "publish", subject, mayPublish(t, conn, subject), user == spec.Owner || user == mesh.UserOperator)
			subject = "$JS.API.CONSUMER.CREATE." + spec.Stream() + ".x"
			check(t, user, "publish", subject, mayPublish(t, conn, subject), user == mesh.UserOperator)
		}
	}
}

func TestInboxesAndRequestsArePrivate(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	for _, user := range mesh.Users() {
		conn := m.Conn(t, user)
		for _, other := range mesh.Users() {
			inbox := mesh.InboxPrefix(other) + ".x"
			check(t, user, "subscribe", inbox, maySubscribe(t, conn, inbox), user == other)
			serves := user == other && slices.Contains(subjects.Actors(), user)
			for _, subject := range []string{"weft.v1." + other + ".*", "weft.v1." + other + ".*.as.*", "$SRV.INFO." + other} {
				check(t, user, "subscribe", subject, maySubscribe(t, conn, subject), serves)
			}
		}
		for _, subject := range []string{">", "weft.>", "weft.v1.>", "_INBOX_*.>", "$KV.>", "$JS.>", "$JS.EVENT.>"} {
			check(t, user, "subscribe", subject, maySubscribe(t, conn, subject), false)
		}
		for _, subject := range []string{mesh.InboxPrefix("auth") + ".x", "$SYS.REQ.SERVER.PING", "$JS.API.ACCOUNT.PURGE.WEFT", "other"} {
			check(t, user, "publish", subject, mayPublish(t, conn, subject), false)
		}
	}
}

func TestOperatorCanInspectTheMesh(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	operator := m.Conn(t, mesh.UserOperator)
	listed := operator.JS.StreamNames(t.Context())
	var names []string
	for name := range listed.Name() {
		names = append(names, name)
	}
	if listed.Err() != nil || len(names) != len(subjects.Streams())+len(kv.All())+len(kv.ObjectStores()) {
		t.Errorf("streams %v, %v", names, listed.Err())
	}
	store, err := operator.JS.KeyValue(t.Context(), kv.AuthKeys.Name)
	if err != nil {
		t.Fatal(err)
	}
	m.Token(t, actortest.User())
	keys, err := store.Keys(t.Context())
	if err != nil || len(keys) != 1 {
		t.Errorf("keys %v, %v", keys, err)
	}
}
