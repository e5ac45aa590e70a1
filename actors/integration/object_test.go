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

// smallParts sets the smallest part size and small limits.
var smallParts = withConfig(func(c *integration.Config) {
	c.Objects.PartSize, c.Objects.MaxSize, c.Objects.PerUser = subjects.MinPart, 100<<10, 200<<10
})

// content is n reproducible, incompressible bytes.
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

// putParts uploads the parts of data, the last one first.
func (b *fixture) putParts(t testing.TB, as mesh.As, o subjects.Object, data []byte) {
	t.Helper()
	for offset := (int64(len(data)) - 1) / o.PartSize * o.PartSize; offset >= 0 && len(data) > 0; offset -= o.PartSize {
		call(t, b, subjects.PutObjectPart, as, subjects.PartRequest{
			ObjectID: o.ID, Offset: offset, Content: data[offset:min(offset+o.PartSize, int64(len(data)))],
		})
	}
}

// upload uploads a file.
func (b *fixture) upload(t testing.TB, as mesh.As, data []byte, r subjects.CreateObjectRequest) subjects.Object {
	t.Helper()
	o := call(t, b, subjects.CreateObject, as, r)
	b.putParts(t, as, o, data)
	return call(t, b, subjects.CompleteObject, as, subjects.EndRequest{ObjectID: o.ID, Size: int64(len(data)), SHA256: sumOf(data)})
}

// download downloads a file, and returns its content and its last part.
func (b *fixture) download(t testing.TB, as mesh.As, id string) (data []byte, last subjects.ContentPart) {
	t.Helper()
	for {
		last = call(t, b, subjects.GetObjectContent, as, subjects.ContentRequest{ObjectID: id, Offset: int64(len(data))})
		data = append(data, last.Content...)
		if int64(len(data)) >= last.Size {
			return data, last
		}
	}
}

// storedParts returns the number of messages of the object store.
func (b *fixture) storedParts(t testing.TB) uint64 {
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

func TestObjectLifecycle(t *testing.T) {
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
				t.Errorf("%d bytes were downloaded as %d, %s", size, len(got), last.ContentType)
			}
			if again := call(t, b, subjects.GetObject, ada, subjects.ObjectRequest{ObjectID: o.ID}); again != o {
				t.Errorf("read again: %+v, want %+v", again, o)
			}
			for _, refused := range []func(){
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
				refused()
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
				t.Errorf("a deleted object left %d messages", n)
			}
		}
	})
}
