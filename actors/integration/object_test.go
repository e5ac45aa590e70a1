package integration_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// smallParts has files of a few kilobytes go in parts.
var smallParts = with(func(c *integration.Config) {
	c.Objects.PartSize, c.Objects.MaxSize, c.Objects.PerUser = subjects.MinPart, 100<<10, 200<<10
})

// content is n bytes that no compression and no accident makes.
func content(n int) []byte {
	data := make([]byte, n)
	source := rand.NewChaCha8([32]byte{byte(n)})
	_, _ = source.Read(data)
	return data
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// putParts sends a content's parts, the last one first.
func (b *bundle) putParts(t testing.TB, as mesh.As, o subjects.Object, data []byte) {
	t.Helper()
	for offset := (int64(len(data)) - 1) / o.PartSize * o.PartSize; offset >= 0 && len(data) > 0; offset -= o.PartSize {
		call(t, b, subjects.PutObjectPart, as, subjects.PartRequest{
			ObjectID: o.ID, Offset: offset, Content: data[offset:min(offset+o.PartSize, int64(len(data)))],
		})
	}
}

// upload stores a file.
func (b *bundle) upload(t testing.TB, as mesh.As, data []byte, r subjects.CreateObjectRequest) subjects.Object {
	t.Helper()
	o := call(t, b, subjects.CreateObject, as, r)
	b.putParts(t, as, o, data)
	return call(t, b, subjects.CompleteObject, as, subjects.EndRequest{ObjectID: o.ID, Size: int64(len(data)), SHA256: sumOf(data)})
}

// download reads a file.
func (b *bundle) download(t testing.TB, as mesh.As, id string) (data []byte, last subjects.ContentPart) {
	t.Helper()
	for {
		last = call(t, b, subjects.GetObjectContent, as, subjects.ContentRequest{ObjectID: id, Offset: int64(len(data))})
		data = append(data, last.Content...)
		if int64(len(data)) >= last.Size {
			return data, last
		}
	}
}

// storedParts are the messages of the object store.
func (b *bundle) storedParts(t testing.TB) uint64 {
	t.Helper()
	stream, err := b.mesh.Conn(t, "operator").JS.Stream(t.Context(), kv.IntegrationObjects.Stream())
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return info.State.Msgs
}

func TestLifeOfAnObject(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database, smallParts)
		_, ada := b.user(t)
		_, eve := b.user(t)
		for _, size := range []int{0, 1, subjects.MinPart, subjects.MinPart + 1, 50<<10 + 7} {
			data := content(size)
			o := b.upload(t, ada, data, subjects.CreateObjectRequest{Name: "ship.bin", ContentType: "image/png"})
			if o.State != "complete" || o.Size != int64(size) || o.SHA256 != sumOf(data) || o.Name != "ship.bin" {
				t.Errorf("uploaded %d: %+v", size, o)
			}
			got, last := b.download(t, ada, o.ID)
			if !bytes.Equal(got, data) || last.ContentType != "image/png" || last.SHA256 != o.SHA256 || last.Name != "ship.bin" {
				t.Errorf("%d bytes came back as %d, %s", size, len(got), last.ContentType)
			}
			if again := call(t, b, subjects.GetObject, ada, subjects.ObjectRequest{ObjectID: o.ID}); again != o {
				t.Errorf("read again: %+v, not %+v", again, o)
			}
			for _, code := range []func(){
				func() {
					wantCode(t, b, subjects.CodeNotFound, subjects.GetObject, eve, subjects.ObjectRequest{ObjectID: o.ID})
				},
				func() {
					wantCode(t, b, subjects.CodeNotFound, subjects.GetObjectContent, eve, subjects.ContentRequest{ObjectID: o.ID})
				},
				func() {
					wantCode(t, b, subjects.CodeNotFound, subjects.DeleteObject, eve, subjects.ObjectRequest{ObjectID: o.ID})
				},
				func() {
					wantCode(t, b, subjects.CodeNotFound, subjects.PutObjectPart, eve, subjects.PartRequest{ObjectID: o.ID, Content: []byte("x")})
				},
			} {
				code()
			}
			if list := call(t, b, subjects.ListObjects, ada, subjects.ListObjectsRequest{}); len(list.Items) != 1 || list.Items[0] != o {
				t.Errorf("listed %+v", list)
			}
			if list := call(t, b, subjects.ListObjects, eve, subjects.ListObjectsRequest{}); len(list.Items) != 0 {
				t.Errorf("another user lists %+v", list)
			}
			call(t, b, subjects.DeleteObject, ada, subjects.ObjectRequest{ObjectID: o.ID})
			wantCode(t, b, subjects.CodeNotFound, subjects.GetObject, ada, subjects.ObjectRequest{ObjectID: o.ID})
			wantCode(t, b, subjects.CodeNotFound, subjects.DeleteObject, ada, subjects.ObjectRequest{ObjectID: o.ID})
			if n := b.storedParts(t); n != 0 {
				t.Errorf("a deleted object leaves %d messages", n)
			}
		}
	})
}
