package integration_test

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestPartsOfAnObject: a part may come twice, in any order, and in no other form; what is not whole is not used.
func TestPartsOfAnObject(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database, smallParts)
		_, ada := b.user(t)
		data := content(2*subjects.MinPart + 5)
		size := int64(len(data))
		for name, announced := range map[string]*int64{"announced": &size, "unknown": nil} {
			o := call(t, b, subjects.CreateObject, ada, subjects.CreateObjectRequest{Size: announced})
			part := func(offset int64, content []byte) subjects.PartRequest {
				return subjects.PartRequest{ObjectID: o.ID, Offset: offset, Content: content}
			}
			end := subjects.EndRequest{ObjectID: o.ID, Size: size, SHA256: sumOf(data)}
			call(t, b, subjects.PutObjectPart, ada, part(o.PartSize, data[o.PartSize:2*o.PartSize]))
			call(t, b, subjects.PutObjectPart, ada, part(0, data[:o.PartSize]))
			for i, c := range []struct {
				code  subjects.Code
				field string
				part  subjects.PartRequest
			}{
				{subjects.CodeConflict, "content", part(0, data[1:o.PartSize+1])},
				{subjects.CodeInvalid, "offset", part(1, data[1:10])},
				{subjects.CodeInvalid, "content", part(0, []byte{})},
				{subjects.CodeInvalid, "content", part(0, data[:o.PartSize+1])},
				{subjects.CodeTooLarge, "size", part(1<<40, data[:10])},
				{subjects.CodeTooLarge, "size", part(1<<63-1-(1<<63-1)%o.PartSize, data[:10])},
			} {
				if e := wantCode(t, b, c.code, subjects.PutObjectPart, ada, c.part); len(e.Fields) != 1 || e.Fields[0].Field != c.field {
					t.Errorf("%s, part %d: %+v", name, i, e)
				}
			}
			if e := wantCode(t, b, subjects.CodeConflict, subjects.CompleteObject, ada, end); e.Fields[0].Field != "size" {
				t.Errorf("%s, without its last part: %+v", name, e)
			}
			wantCode(t, b, subjects.CodeConflict, subjects.GetObjectContent, ada, subjects.ContentRequest{ObjectID: o.ID})
			last := part(2*o.PartSize, data[2*o.PartSize:])
			call(t, b, subjects.PutObjectPart, ada, last)
			call(t, b, subjects.PutObjectPart, ada, last)
			other := end
			other.SHA256 = sumOf([]byte("other"))
			if e := wantCode(t, b, subjects.CodeInvalid, subjects.CompleteObject, ada, other); e.Fields[0].Field != "sha256" {
				t.Errorf("%s, of another sum: %+v", name, e)
			}
			done := call(t, b, subjects.CompleteObject, ada, end)
			if again := call(t, b, subjects.CompleteObject, ada, end); again != done {
				t.Errorf("%s, completed twice: %+v, not %+v", name, again, done)
			}
			wantCode(t, b, subjects.CodeInvalid, subjects.CompleteObject, ada, other)
			call(t, b, subjects.PutObjectPart, ada, last)
			wantCode(t, b, subjects.CodeConflict, subjects.PutObjectPart, ada, part(0, data[1:o.PartSize+1]))
			if got, _ := b.download(t, ada, o.ID); !bytes.Equal(got, data) {
				t.Errorf("%s: what came back is another content", name)
			}
		}
	})
}

// TestWhatAUserMayKeep: the limits hold for one object and for all of a user's, also for uploads at once.
func TestWhatAUserMayKeep(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database, smallParts)
		_, ada := b.user(t)
		_, eve := b.user(t)
		size := int64(100<<10 + 1)
		if e := wantCode(t, b, subjects.CodeTooLarge, subjects.CreateObject, ada, subjects.CreateObjectRequest{Size: &size}); e.Fields[0].Field != "size" {
			t.Errorf("too large: %+v", e)
		}
		for _, seconds := range []int64{59, 7*24*3600 + 1, 1 << 62} {
			wantCode(t, b, subjects.CodeInvalid, subjects.CreateObject, ada, subjects.CreateObjectRequest{ExpiresIn: seconds})
		}
		size = 40 << 10
		var wg sync.WaitGroup
		var mu sync.Mutex
		var kept []subjects.Object
		for range 12 {
			wg.Go(func() {
				o, err := mesh.Call(t.Context(), b.caller, subjects.CreateObject, subjects.CreateObjectRequest{Size: &size}, ada)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					kept = append(kept, o)
				} else if subjects.CodeOf(err) != subjects.CodeConflict {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(kept) != 4 { // of 44 KiB each, in 200
			t.Fatalf("%d uploads were admitted", len(kept))
		}
		call(t, b, subjects.CreateObject, eve, subjects.CreateObjectRequest{Size: &size})
		o := call(t, b, subjects.CreateObject, ada, subjects.CreateObjectRequest{}) // of an unknown size
		fits := content(20 << 10)
		b.putParts(t, ada, o, fits)
		e := wantCode(t, b, subjects.CodeConflict, subjects.PutObjectPart, ada, subjects.PartRequest{ObjectID: o.ID, Offset: 20 << 10, Content: fits[:1]})
		if e.Fields[0].Field != "size" {
			t.Errorf("past what may be kept: %+v", e)
		}
		for _, o := range kept {
			call(t, b, subjects.DeleteObject, ada, subjects.ObjectRequest{ObjectID: o.ID})
		}
		call(t, b, subjects.PutObjectPart, ada, subjects.PartRequest{ObjectID: o.ID, Offset: 20 << 10, Content: fits[:1]})
	})
}

// TestWhatIsKeptOfAll: the store's own bound holds for all users together, also for uploads at once; what it refuses is told when to
// come again and leaves nothing, be it an upload or a provider's answer, and what ends makes room.
func TestWhatIsKeptOfAll(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		s := newStorage(t, content(50<<10))
		total := with(func(c *integration.Config) { c.Objects.Total = 200 << 10 })
		b := setup(t, database, smallParts, total, s3At(s))
		size := int64(40 << 10)
		var wg sync.WaitGroup
		var mu sync.Mutex
		kept := map[string]mesh.As{}
		for range 12 {
			_, as := b.user(t)
			wg.Go(func() {
				o, err := mesh.Call(t.Context(), b.caller, subjects.CreateObject, subjects.CreateObjectRequest{Size: &size}, as)
				mu.Lock()
				defer mu.Unlock()
				var own *subjects.Error
				if err == nil {
					kept[o.ID] = as
				} else if !errors.As(err, &own) || own.Code != subjects.CodeUnavailable || own.RetryAfter != b.config.Objects.SweepEvery {
					t.Errorf("what does not fit is told %v", err)
				}
			})
		}
		wg.Wait()
		if len(kept) != 4 { // of 44 KiB each, in 200
			t.Fatalf("%d uploads were admitted", len(kept))
		}
		_, ada := b.user(t)
		o := call(t, b, subjects.CreateObject, ada, subjects.CreateObjectRequest{}) // of an unknown size
		fits := content(20 << 10)
		b.putParts(t, ada, o, fits)
		more := subjects.PartRequest{ObjectID: o.ID, Offset: 20 << 10, Content: fits[:1]}
		wantCode(t, b, subjects.CodeUnavailable, subjects.PutObjectPart, ada, more)
		c, stored := b.connectS3(t, ada), b.storedParts(t)
		get := action(c.ID, "get_object", `{"bucket":"ships","key":"a.png","to_object":true}`)
		wantCode(t, b, subjects.CodeUnavailable, subjects.ExecuteAction, ada, get)
		for id, as := range kept { // the first parts of an answer of unknown size fit
			s.chunked = true
			call(t, b, subjects.DeleteObject, as, subjects.ObjectRequest{ObjectID: id})
			delete(kept, id)
			break
		}
		wantCode(t, b, subjects.CodeUnavailable, subjects.ExecuteAction, ada, get)
		if list := call(t, b, subjects.ListObjects, ada, subjects.ListObjectsRequest{}); len(list.Items) != 1 || b.storedParts(t) != stored {
			t.Errorf("what was refused leaves %d objects, %d messages", len(list.Items)-1, b.storedParts(t)-stored)
		}
		for id, as := range kept {
			call(t, b, subjects.DeleteObject, as, subjects.ObjectRequest{ObjectID: id})
		}
		call(t, b, subjects.PutObjectPart, ada, more)
		end := subjects.EndRequest{ObjectID: o.ID, Size: 20<<10 + 1, SHA256: sumOf(append(fits, fits[0]))}
		call(t, b, subjects.CompleteObject, ada, end)
		object(t, call(t, b, subjects.ExecuteAction, ada, get))
		for range 2 { // and again with what was counted of what is gone
			for _, o := range call(t, b, subjects.ListObjects, ada, subjects.ListObjectsRequest{}).Items {
				call(t, b, subjects.DeleteObject, ada, subjects.ObjectRequest{ObjectID: o.ID})
			}
			size = 96 << 10
			for range 2 {
				call(t, b, subjects.CreateObject, ada, subjects.CreateObjectRequest{Size: &size})
			}
			wantCode(t, b, subjects.CodeConflict, subjects.CreateObject, ada, subjects.CreateObjectRequest{}) // its own 200 KiB
			_, eve := b.user(t)
			wantCode(t, b, subjects.CodeUnavailable, subjects.CreateObject, eve, subjects.CreateObjectRequest{})
		}
	})
}

// TestTheCountOfAllIsShown beside its bound.
func TestTheCountOfAllIsShown(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		often := with(func(c *integration.Config) { c.Objects.SweepEvery, c.Objects.Total = time.Millisecond, 1<<20 })
		b := setup(t, database, smallParts, often)
		for range 2 {
			_, as := b.user(t)
			b.upload(t, as, content(10<<10), subjects.CreateObjectRequest{})
		}
		actortest.Eventually(t, "what is kept is counted", func() bool { return b.gauge(t, "integration_object_bytes") == 2*14<<10 })
		if most := b.gauge(t, "integration_object_bytes_limit"); most != 1<<20 {
			t.Errorf("the bound is shown as %v", most)
		}
	})
}

// TestObjectsEnd: at their time, and what is left of uploads that never came to their end.
func TestObjectsEnd(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		often := with(func(c *integration.Config) { c.Objects.SweepEvery = time.Millisecond })
		hour := &clock{}
		b := setup(t, database, smallParts, often, at(hour))
		ada := mesh.As{Token: b.mesh.Token(t, actortest.User(), actortest.WithExpiry(time.Now().Add(48*time.Hour)))}
		data := content(10 << 10)
		short := b.upload(t, ada, data, subjects.CreateObjectRequest{ExpiresIn: 7200})
		usual := b.upload(t, ada, data, subjects.CreateObjectRequest{})
		never := call(t, b, subjects.CreateObject, ada, subjects.CreateObjectRequest{})
		b.putParts(t, ada, never, data)
		kept := b.storedParts(t)
		gone := func(id string, messages uint64) {
			t.Helper()
			wantCode(t, b, subjects.CodeNotFound, subjects.GetObject, ada, subjects.ObjectRequest{ObjectID: id})
			wantCode(t, b, subjects.CodeNotFound, subjects.GetObjectContent, ada, subjects.ContentRequest{ObjectID: id})
			wantCode(t, b, subjects.CodeNotFound, subjects.PutObjectPart, ada, subjects.PartRequest{ObjectID: id, Content: data[:1]})
			actortest.Eventually(t, "its parts are gone", func() bool { return b.storedParts(t) == messages })
		}
		hour.pass(time.Hour + time.Second)
		gone(never.ID, kept*2/3)
		if got, _ := b.download(t, ada, short.ID); !bytes.Equal(got, data) {
			t.Error("an object ended before its time")
		}
		hour.pass(time.Hour)
		gone(short.ID, kept/3)
		hour.pass(22 * time.Hour)
		gone(usual.ID, 0)
		actortest.Eventually(t, "their rows are gone", func() bool { return b.counted(t, "integration_objects_total", "expired") == 3 })
		if err := b.host.Stop(t); err != nil {
			t.Fatal(err)
		}
		if tables := actortest.Dump(t, b.db); strings.Contains(tables, usual.ID) || strings.Contains(tables, never.ID) {
			t.Error("the tables hold something of what has ended")
		}
	})
}

// gauge is the value of a metric without labels.
func (b *bundle) gauge(t testing.TB, name string) float64 {
	t.Helper()
	families, err := b.host.Telemetry.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return -1
}

// counted is the count of a metric with a label of that value.
func (b *bundle) counted(t testing.TB, name, label string) (n float64) {
	t.Helper()
	families, err := b.host.Telemetry.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				if family.GetName() == name && l.GetValue() == label {
					n += m.GetCounter().GetValue()
				}
			}
		}
	}
	return n
}

// TestAForgottenUsersObjects go, those that are being uploaded too; the other's stay.
func TestAForgottenUsersObjects(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database, smallParts)
		user, ada := b.user(t)
		_, eve := b.user(t)
		data := content(10 << 10)
		b.upload(t, ada, data, subjects.CreateObjectRequest{Name: "ada.bin"})
		b.putParts(t, ada, call(t, b, subjects.CreateObject, ada, subjects.CreateObjectRequest{Name: "more.bin"}), data)
		hers := b.upload(t, eve, data, subjects.CreateObjectRequest{})
		kept := b.storedParts(t)
		if answer := b.mesh.Forget(t, "integration", user); answer.Items != 2 {
			t.Errorf("answered %+v", answer)
		}
		if again := b.mesh.Forget(t, "integration", user); again.Items != 0 {
			t.Errorf("forgetting twice answered %+v", again)
		}
		if n := b.storedParts(t); n != kept/3 {
			t.Errorf("%d of %d messages are left", n, kept)
		}
		if got, _ := b.download(t, eve, hers.ID); !bytes.Equal(got, data) {
			t.Error("another user's object is gone")
		}
		if err := b.host.Stop(t); err != nil {
			t.Fatal(err)
		}
		if tables := actortest.Dump(t, b.db); strings.Contains(tables, user) || strings.Contains(tables, "ada.bin") || !strings.Contains(tables, hers.ID) {
			t.Error("the tables hold something of who was forgotten, or nothing of the other")
		}
	})
}

// TestObjectsAreSealed: nothing of a content is at rest in clear, and a part opens in no other's place.
func TestObjectsAreSealed(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0], smallParts)
	_, ada := b.user(t)
	data := []byte(strings.Repeat("canary-in-a-file ", 1000))
	o := b.upload(t, ada, data, subjects.CreateObjectRequest{})
	js := b.mesh.Conn(t, "operator").JS
	stream, err := js.Stream(t.Context(), kv.IntegrationObjects.Stream())
	if err != nil {
		t.Fatal(err)
	}
	info := stream.CachedInfo()
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
		m, err := stream.GetMsg(t.Context(), seq)
		if err == nil && bytes.Contains(m.Data, []byte("canary")) {
			t.Errorf("%s holds it in clear", m.Subject)
		}
	}
	store, err := kv.OpenObjects(t.Context(), b.mesh.Conn(t, "integration").JS, kv.IntegrationObjects)
	if err != nil {
		t.Fatal(err)
	}
	second, err := store.Get(t.Context(), o.ID+".1")
	if err == nil {
		err = store.Put(t.Context(), o.ID+".0", second)
	}
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, b, subjects.CodeInternal, subjects.GetObjectContent, ada, subjects.ContentRequest{ObjectID: o.ID})
	if got := call(t, b, subjects.GetObjectContent, ada, subjects.ContentRequest{ObjectID: o.ID, Offset: 2*o.PartSize + 3}); !bytes.Equal(got.Content, data[2*o.PartSize+3:3*o.PartSize]) {
		t.Error("the third part is another")
	}
}
