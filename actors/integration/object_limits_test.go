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

// TestObjectParts tests that parts may be uploaded in any order and twice, but not with other content or another size, and
// that an incomplete object cannot be used.
func TestObjectParts(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database, smallParts)
		_, ada := b.user(t)
		data := content(2*subjects.MinPart + 5)
		size := int64(len(data))
		for name, declared := range map[string]*int64{"declared size": &size, "unknown size": nil} {
			o := call(t, b, subjects.CreateObject, ada, subjects.CreateObjectRequest{Size: declared})
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
				t.Errorf("%s, without the last part: %+v", name, e)
			}
			wantCode(t, b, subjects.CodeConflict, subjects.GetObjectContent, ada, subjects.ContentRequest{ObjectID: o.ID})
			last := part(2*o.PartSize, data[2*o.PartSize:])
			call(t, b, subjects.PutObjectPart, ada, last)
			call(t, b, subjects.PutObjectPart, ada, last)
			other := end
			other.SHA256 = sumOf([]byte("other"))
			if e := wantCode(t, b, subjects.CodeInvalid, subjects.CompleteObject, ada, other); e.Fields[0].Field != "sha256" {
				t.Errorf("%s, with another checksum: %+v", name, e)
			}
			done := call(t, b, subjects.CompleteObject, ada, end)
			if again := call(t, b, subjects.CompleteObject, ada, end); again != done {
				t.Errorf("%s, completed twice: %+v, want %+v", name, again, done)
			}
			wantCode(t, b, subjects.CodeInvalid, subjects.CompleteObject, ada, other)
			call(t, b, subjects.PutObjectPart, ada, last)
			wantCode(t, b, subjects.CodeConflict, subjects.PutObjectPart, ada, part(0, data[1:o.PartSize+1]))
			if got, _ := b.download(t, ada, o.ID); !bytes.Equal(got, data) {
				t.Errorf("%s: the downloaded content differs", name)
			}
		}
	})
}

// TestUserQuota tests the limits of one object and of all objects of a user, with concurrent uploads too.
func TestUserQuota(t *testing.T) {
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
				} else if !errors.Is(err, &subjects.Error{Code: subjects.CodeRateLimited, Reason: subjects.ReasonLimitReached}) {
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
		e := wantCode(t, b, subjects.CodeRateLimited, subjects.PutObjectPart, ada, subjects.PartRequest{ObjectID: o.ID, Offset: 20 << 10, Content: fits[:1]})
		if !strings.Contains(e.Detail, "integration.objects.per_user") {
			t.Errorf("beyond the quota: %+v", e)
		}
		for _, o := range kept {
			call(t, b, subjects.DeleteObject, ada, subjects.ObjectRequest{ObjectID: o.ID})
		}
		call(t, b, subjects.PutObjectPart, ada, subjects.PartRequest{ObjectID: o.ID, Offset: 20 << 10, Content: fits[:1]})
	})
}

// TestTotalQuota tests the quota of all users together, with concurrent uploads too. A refused upload or response gets a
// RetryAfter and leaves nothing, and deleted objects free their space.
func TestTotalQuota(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		s := newFakeS3(t, content(50<<10))
		total := withConfig(func(c *integration.Config) { c.Objects.Total = 200 << 10 })
		b := setup(t, database, smallParts, total, withS3(s))
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
				var coded *subjects.Error
				if err == nil {
					kept[o.ID] = as
				} else if !errors.As(err, &coded) || coded.Code != subjects.CodeUnavailable || coded.RetryAfter != b.config.Objects.SweepEvery {
					t.Errorf("beyond the quota: %v", err)
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
		for id, as := range kept { // the first parts of a response of unknown size fit
			s.chunked = true
			call(t, b, subjects.DeleteObject, as, subjects.ObjectRequest{ObjectID: id})
			delete(kept, id)
			break
		}
		wantCode(t, b, subjects.CodeUnavailable, subjects.ExecuteAction, ada, get)
		if list := call(t, b, subjects.ListObjects, ada, subjects.ListObjectsRequest{}); len(list.Items) != 1 || b.storedParts(t) != stored {
			t.Errorf("a refused call left %d objects, %d messages", len(list.Items)-1, b.storedParts(t)-stored)
		}
		for id, as := range kept {
			call(t, b, subjects.DeleteObject, as, subjects.ObjectRequest{ObjectID: id})
		}
		call(t, b, subjects.PutObjectPart, ada, more)
		end := subjects.EndRequest{ObjectID: o.ID, Size: 20<<10 + 1, SHA256: sumOf(append(fits, fits[0]))}
		call(t, b, subjects.CompleteObject, ada, end)
		object(t, call(t, b, subjects.ExecuteAction, ada, get))
		for range 2 { // the second time with the usage of the deleted objects freed
			for _, o := range call(t, b, subjects.ListObjects, ada, subjects.ListObjectsRequest{}).Items {
				call(t, b, subjects.DeleteObject, ada, subjects.ObjectRequest{ObjectID: o.ID})
			}
			size = 96 << 10
			for range 2 {
				call(t, b, subjects.CreateObject, ada, subjects.CreateObjectRequest{Size: &size})
			}
			wantCode(t, b, subjects.CodeRateLimited, subjects.CreateObject, ada, subjects.CreateObjectRequest{}) // the user's quota of 200 KiB
			_, eve := b.user(t)
			wantCode(t, b, subjects.CodeUnavailable, subjects.CreateObject, eve, subjects.CreateObjectRequest{})
		}
	})
}

// TestUsageMetrics tests the metrics of the usage and of the quota.
func TestUsageMetrics(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		often := withConfig(func(c *integration.Config) { c.Objects.SweepEvery, c.Objects.Total = time.Millisecond, 1<<20 })
		b := setup(t, database, smallParts, often)
		for range 2 {
			_, as := b.user(t)
			b.upload(t, as, content(10<<10), subjects.CreateObjectRequest{})
		}
		actortest.Eventually(t, "the usage of both objects in the metric", func() bool { return b.gauge(t, "integration_object_bytes") == 2*14<<10 })
		if most := b.gauge(t, "integration_object_bytes_limit"); most != 1<<20 {
			t.Errorf("the quota metric is %v", most)
		}
	})
}

// TestObjectExpiry tests that objects and incomplete uploads expire and are deleted.
func TestObjectExpiry(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		often := withConfig(func(c *integration.Config) { c.Objects.SweepEvery = time.Millisecond })
		now := &clock{}
		b := setup(t, database, smallParts, often, withClock(now))
		ada := mesh.As{Token: b.mesh.Token(t, actortest.User(), actortest.WithExpiry(time.Now().Add(48*time.Hour)))}
		data := content(10 << 10)
		short := b.upload(t, ada, data, subjects.CreateObjectRequest{ExpiresIn: 7200})
		usual := b.upload(t, ada, data, subjects.CreateObjectRequest{})
		unfinished := call(t, b, subjects.CreateObject, ada, subjects.CreateObjectRequest{})
		b.putParts(t, ada, unfinished, data)
		kept := b.storedParts(t)
		requireDeleted := func(id string, messages uint64) {
			t.Helper()
			wantCode(t, b, subjects.CodeNotFound, subjects.GetObject, ada, subjects.ObjectRequest{ObjectID: id})
			wantCode(t, b, subjects.CodeNotFound, subjects.GetObjectContent, ada, subjects.ContentRequest{ObjectID: id})
			wantCode(t, b, subjects.CodeNotFound, subjects.PutObjectPart, ada, subjects.PartRequest{ObjectID: id, Content: data[:1]})
			actortest.Eventually(t, "the parts are deleted", func() bool { return b.storedParts(t) == messages })
		}
		now.advance(time.Hour + time.Second)
		requireDeleted(unfinished.ID, kept*2/3)
		if got, _ := b.download(t, ada, short.ID); !bytes.Equal(got, data) {
			t.Error("an object expired too early")
		}
		now.advance(time.Hour)
		requireDeleted(short.ID, kept/3)
		now.advance(22 * time.Hour)
		requireDeleted(usual.ID, 0)
		actortest.Eventually(t, "the rows are deleted", func() bool { return b.counter(t, "integration_objects_total", "expired") == 3 })
		if err := b.host.Stop(t); err != nil {
			t.Fatal(err)
		}
		if tables := actortest.Dump(t, b.db); strings.Contains(tables, usual.ID) || strings.Contains(tables, unfinished.ID) {
			t.Error("the tables contain data of expired objects")
		}
	})
}

// gauge returns the value of a gauge without labels, -1 if there is none.
func (b *fixture) gauge(t testing.TB, name string) float64 {
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

// counter returns the sum of a counter's series that have a label of that value.
func (b *fixture) counter(t testing.TB, name, label string) (n float64) {
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

// TestErasureOfObjects tests that account deletion deletes a user's objects, incomplete ones too, and no others.
func TestErasureOfObjects(t *testing.T) {
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
			t.Errorf("erased %+v", answer)
		}
		if again := b.mesh.Forget(t, "integration", user); again.Items != 0 {
			t.Errorf("the second erasure erased %+v", again)
		}
		if n := b.storedParts(t); n != kept/3 {
			t.Errorf("%d of %d messages remain", n, kept)
		}
		if got, _ := b.download(t, eve, hers.ID); !bytes.Equal(got, data) {
			t.Error("another user's object was deleted")
		}
		if err := b.host.Stop(t); err != nil {
			t.Fatal(err)
		}
		if tables := actortest.Dump(t, b.db); strings.Contains(tables, user) || strings.Contains(tables, "ada.bin") || !strings.Contains(tables, hers.ID) {
			t.Error("the tables contain data of the erased user, or none of the other user")
		}
	})
}

// TestObjectsAreSealed tests that no content is stored in clear, and that a part cannot be moved to another's place.
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
	for seq := max(info.State.FirstSeq, 1); seq <= info.State.LastSeq; seq++ {
		m, err := stream.GetMsg(t.Context(), seq)
		if err == nil && bytes.Contains(m.Data, []byte("canary")) {
			t.Errorf("%s contains the content in clear", m.Subject)
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
		t.Error("the third part differs")
	}
}
