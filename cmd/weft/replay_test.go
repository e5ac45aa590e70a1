package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
	"github.com/weftmesh/weft/subjects"
)

// A dead letter is published again as the author of its job; a letter that no actor has written is not.
func TestReplayPublishesAsTheAuthor(t *testing.T) {
	dir := t.TempDir()
	if _, err := embedded.Init(dir, embedded.Options{Port: -1}); err != nil {
		t.Fatal(err)
	}
	server, err := embedded.Start(t.Context(), dir, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	p, err := newProcess(t.Context(), defaultConfig(), "test", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	p.natsURL, p.keys = server.ClientURL(), filepath.Join(dir, "keys")
	if err := p.createMissing(t.Context()); err != nil {
		t.Fatal(err)
	}
	auth, err := p.connect(t.Context(), "auth")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(auth.Close)
	subject := subjects.SendMail.Consumer().DeadSubject()
	letter, err := json.Marshal(subjects.DeadLetter{Subject: subjects.SendMail.Subject, Data: json.RawMessage(`{"message_id":"m"}`)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := auth.JS.Publish(t.Context(), subject, letter); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := p.replay(t.Context(), 1, &out); err != nil {
		t.Fatal(err)
	}
	operator, err := p.connect(t.Context(), mesh.UserOperator)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(operator.Close)
	stream, err := operator.JS.Stream(t.Context(), subjects.SendMail.Stream.Name)
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n != 1 || !bytes.Contains(out.Bytes(), []byte(subjects.SendMail.Subject)) {
		t.Errorf("%d jobs after a replay, which prints %s", n, &out)
	}
	if _, err := auth.RequestMsg(&nats.Msg{Subject: subject, Data: letter}, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if err := p.replay(t.Context(), 2, &out); !errors.Is(err, mesh.ErrAuthor) {
		t.Errorf("replaying a letter that nobody signed: %v", err)
	}
	if err := p.replay(t.Context(), 3, &out); err == nil {
		t.Error("a letter that does not exist is replayed")
	}
}
