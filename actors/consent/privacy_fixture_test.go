package consent_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"sync"
	"testing"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// otherActors are the four other actors as far as privacy requests ask them: each returns two pages of what it holds, one of it derived.
type otherActors struct {
	mu sync.Mutex
	// fail makes an actor fail as often.
	fail map[string]int
	// calls counts the calls of each.
	calls map[string]int
	// erase answers erase_account.
	erase func(caller actors.Caller, r subjects.EraseAccountRequest) (subjects.ErasureStarted, error)
}

// page answers export_subject of an actor.
func (o *otherActors) page(name string) func(context.Context, subjects.ExportSubjectRequest) (subjects.SubjectRecords, error) {
	return func(ctx context.Context, r subjects.ExportSubjectRequest) (subjects.SubjectRecords, error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.calls[name]++; o.fail[name] > 0 {
			o.fail[name]--
			return subjects.SubjectRecords{}, subjects.Errorf(subjects.CodeUnavailable, "not now")
		}
		userID := actors.CallerFrom(ctx).UserID
		if r.Cursor == "" {
			line := `{"id":1,"text":"=of ` + userID + `"}` + "\n" + `{"id":2,"te`
			return subjects.SubjectRecords{
				Source: "things", Doc: "Things.", Columns: []string{"id", "text"}, Data: []byte(line), Records: 1, NextCursor: "2",
			}, nil
		}
		if r.Cursor == "2" {
			return subjects.SubjectRecords{
				Source: "things", Doc: "Things.", Columns: []string{"id", "text"}, Data: []byte(`xt":"two"}` + "\n"), Records: 1, NextCursor: "3",
			}, nil
		}
		return subjects.SubjectRecords{
			Source: "counts", Doc: "Counts.", Derived: true, Columns: []string{"n"}, Data: []byte(`{"n":7}` + "\n"), Records: 1,
		}, nil
	}
}

// startOthers starts the other actors.
func (f *fixture) startOthers(t *testing.T) *otherActors {
	t.Helper()
	o := &otherActors{fail: map[string]int{}, calls: map[string]int{}}
	for name, endpoint := range subjects.SubjectExports() {
		bindings := []actors.Binding{actors.Bind(endpoint, o.page(name))}
		if name == "auth" {
			bindings = append(bindings, actors.Bind(subjects.EraseAccount, func(ctx context.Context, r subjects.EraseAccountRequest) (subjects.ErasureStarted, error) {
				return o.erase(actors.CallerFrom(ctx), r)
			}))
		}
		f.mesh.Host(t, name, actortest.Databases(t)[0].Config(t, name), nil, func(actors.Deps) (actors.Service, error) {
			return actors.Service{Name: name, Bindings: bindings}, nil
		})
	}
	return o
}

// request makes a privacy request.
func (f *fixture) request(t *testing.T, as mesh.As, r subjects.CreatePrivacyRequestRequest) subjects.PrivacyRequest {
	t.Helper()
	return call(t, f, subjects.CreatePrivacyRequest, as, r).PrivacyRequest
}

// ended waits until a request has ended and returns it.
func (f *fixture) ended(t *testing.T, as mesh.As, id string) (p subjects.PrivacyRequest) {
	t.Helper()
	actortest.Eventually(t, "the request has ended", func() bool {
		p = call(t, f, subjects.GetPrivacyRequest, as, subjects.PrivacyRequestRequest{RequestID: id})
		return p.Status != subjects.PrivacyInProgress
	})
	return p
}

// download returns the files of an export, by path.
func (f *fixture) download(t *testing.T, as mesh.As, e *subjects.PrivacyExport) map[string]string {
	t.Helper()
	if e == nil {
		t.Fatal("the request has no file")
	}
	var data []byte
	for int64(len(data)) < e.Size {
		part := call(t, f, subjects.GetPrivacyExport, as, subjects.ContentRequest{ObjectID: e.ID, Offset: int64(len(data))})
		data = append(data, part.Content...)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != e.SHA256 {
		t.Errorf("the file of %d bytes has another hash", len(data))
	}
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, file := range archive.File {
		r, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[file.Name] = string(text)
	}
	return files
}

// decodeJSON decodes a text.
func decodeJSON[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %.200s", err, text)
	}
	return v
}

// erasing publishes what auth and the other actors do for an erasure.
func (f *fixture) erasing(t *testing.T, userID, erasureID string) {
	t.Helper()
	publish := func(actor, subject string, event any) {
		data, err := json.Marshal(event)
		if err == nil {
			_, err = f.mesh.Conn(t, actor).JS.Publish(t.Context(), subject, data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	now := f.mesh.Now()
	for actor, event := range map[string]subjects.Event[subjects.Erasure]{
		"integration": subjects.IntegrationErased, "workflow": subjects.WorkflowErased, "notification": subjects.NotificationErased,
	} {
		publish(actor, event.Subject, event.New(actortest.User(), "", now, subjects.Erasure{ErasureID: erasureID, Actor: actor, Round: 1, Items: 3}))
	}
	publish("auth", subjects.AccountDeleted.Subject, subjects.AccountDeleted.New(actortest.User(), userID, now,
		subjects.AccountDeletion{ErasureID: erasureID, UserID: userID, Round: 1}))
}

// randomText returns a text that cannot be compressed.
func randomText(n int) string {
	data := make([]byte, n*3/4)
	_, _ = rand.Read(data)
	return base64.StdEncoding.EncodeToString(data)
}
