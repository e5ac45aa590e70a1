package actors_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

func TestBind(t *testing.T) {
	t.Parallel()
	failure := subjects.Errorf(subjects.CodeConflict, "failure")
	calls := 0
	binding := actors.Bind(subjects.SendNotification,
		func(_ context.Context, r subjects.SendNotificationRequest) (subjects.NotificationRef, error) {
			calls++
			if r.Body == "fail" {
				return subjects.NotificationRef{NotificationID: "dropped"}, failure
			}
			return subjects.NotificationRef{NotificationID: r.Body, Status: "accepted"}, nil
		})
	if binding.Desc != subjects.SendNotification.Describe() {
		t.Error("the descriptor is not the endpoint's")
	}
	reply, err := binding.Handle(t.Context(), []byte(`{"category":"system","body":"1"}`))
	if err != nil || string(reply) != `{"notification_id":"1","status":"accepted"}` {
		t.Errorf("%s, %v", reply, err)
	}
	if reply, err = binding.Handle(t.Context(), []byte(`{"category":"system","body":"fail"}`)); !errors.Is(err, failure) || reply != nil {
		t.Errorf("%s, %v, want the handler's error and no reply", reply, err)
	}
	calls = 0
	for name, data := range map[string]string{
		"nothing":            "",
		"not JSON":           "{",
		"a missing field":    "{}",
		"an unknown value":   `{"category":"other"}`,
		"an unknown field":   `{"category":"system","x":1}`,
		"a value of no type": `{"category":1}`,
		"a long value":       `{"category":"system","template":"` + strings.Repeat("x", 65) + `"}`,
	} {
		if _, err := binding.Handle(t.Context(), []byte(data)); subjects.CodeOf(err) != subjects.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if calls != 0 {
		t.Errorf("the handler got %d invalid requests", calls)
	}
}

func TestReplyThatCannotBeEncoded(t *testing.T) {
	t.Parallel()
	binding := actors.Bind(subjects.ExecuteAction,
		func(context.Context, subjects.ExecuteActionRequest) (subjects.ActionResult, error) {
			return subjects.ActionResult{Output: json.RawMessage("{")}, nil
		})
	_, err := binding.Handle(t.Context(), []byte(`{"integration_id":"i","action":"a"}`))
	if err == nil || subjects.CodeOf(err) != subjects.CodeInternal || !strings.Contains(err.Error(), subjects.ExecuteAction.Subject) {
		t.Errorf("%v, want an internal error that names the subject", err)
	}
}

func TestWork(t *testing.T) {
	t.Parallel()
	failure := errors.New("failure")
	var got []subjects.SendMailJob
	worker := actors.Work(subjects.SendMail, func(_ context.Context, job subjects.SendMailJob) error {
		if got = append(got, job); job.MessageID == "fail" {
			return failure
		}
		return nil
	})
	if worker.Consumer.Durable != subjects.SendMail.Consumer().Durable || worker.Concurrency != 16 {
		t.Errorf("the worker is %+v", worker)
	}
	if w := worker.Concurrent(2); w.Concurrency != 2 || worker.Concurrency != 16 {
		t.Errorf("Concurrent(2): %d, and %d before", w.Concurrency, worker.Concurrency)
	}
	if err := worker.Handle(t.Context(), []byte(`{"message_id":"1"}`)); err != nil {
		t.Error(err)
	}
	if err := worker.Handle(t.Context(), []byte(`{"message_id":"fail"}`)); !errors.Is(err, failure) {
		t.Errorf("%v, want the handler's error", err)
	}
	if len(got) != 2 || got[0].MessageID != "1" {
		t.Errorf("the handler got %v", got)
	}
	for _, data := range []string{"", "{", `{"message_id":1}`} {
		wantCode(t, worker.Handle(t.Context(), []byte(data)), subjects.CodeInvalid)
	}
	if len(got) != 2 {
		t.Error("the handler got a job that cannot be decoded")
	}
}

func TestListen(t *testing.T) {
	t.Parallel()
	var got []subjects.Envelope[subjects.Erasure]
	worker := actors.Listen(subjects.ErasureConfirmations, func(_ context.Context, e subjects.Envelope[subjects.Erasure]) error {
		got = append(got, e)
		return nil
	})
	if worker.Consumer.Durable != subjects.ErasureConfirmations.Consumer().Durable || worker.Concurrency != 16 {
		t.Errorf("the worker is %+v", worker)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	event, err := json.Marshal(subjects.ConsentErased.New("1", "user", at, subjects.Erasure{Actor: "consent", Items: 3}))
	if err != nil {
		t.Fatal(err)
	}
	if err := worker.Handle(t.Context(), event); err != nil {
		t.Error(err)
	}
	if len(got) != 1 || got[0].ID != "1" || got[0].UserID != "user" || got[0].Data.Items != 3 || !got[0].Time.Equal(at) {
		t.Errorf("the handler got %+v", got)
	}
	wantCode(t, worker.Handle(t.Context(), []byte(`{"data":[]}`)), subjects.CodeInvalid)
}
