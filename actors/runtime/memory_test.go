package runtime_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// starts binds execute_workflow_async to a handler that waits until release is closed.
func starts(handling *sync.WaitGroup, release <-chan struct{}) actors.Binding {
	return actors.Bind(subjects.StartExecution, func(context.Context, subjects.StartExecutionRequest) (subjects.Execution, error) {
		handling.Done()
		<-release
		return subjects.Execution{}, nil
	})
}

// startWith calls it with an input of about size bytes.
func startWith(ctx context.Context, t *testing.T, m *actortest.Mesh, token string, size int) error {
	t.Helper()
	_, err := mesh.Call(ctx, m.Conn(t, mesh.UserGateway), subjects.StartExecution, subjects.StartExecutionRequest{
		WorkflowID: "01890000-0000-7000-8000-000000000000", Input: []byte(`"` + strings.Repeat("a", size) + `"`),
	}, mesh.As{Token: token})
	return err
}

func TestLargeRequestsOfOneUserLeaveRoomForOthers(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	release := make(chan struct{})
	var handling, calls sync.WaitGroup
	host(t, m, "workflow", starts(&handling, release))
	greedy, other := m.Token(t, actortest.User()), m.Token(t, actortest.User())
	const held = 8 // of 2 MB each; a quarter of 64 MiB is one user's
	handling.Add(held)
	for range held {
		calls.Go(func() {
			if err := startWith(t.Context(), t, m, greedy, 1_000_000); err != nil {
				t.Errorf("one of %d: %v", held, err)
			}
		})
	}
	handling.Wait()
	err := startWith(t.Context(), t, m, greedy, 1_000_000)
	if !errors.Is(err, &subjects.Error{Code: subjects.CodeRateLimited, Reason: subjects.ReasonMemoryShare}) {
		t.Errorf("one more: %v", err)
	}
	handling.Add(2)
	for token, size := range map[string]int{greedy: 100, other: 1_000_000} {
		calls.Go(func() {
			if err := startWith(t.Context(), t, m, token, size); err != nil {
				t.Errorf("%d bytes: %v", size, err)
			}
		})
	}
	handling.Wait()
	close(release)
	calls.Wait()
}

func TestAMessageThatIsTooLargeIsNotDecoded(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	host(t, m, "auth", profile(succeed))
	conn := m.Conn(t, mesh.UserGateway)
	message := []byte(`{"x":"` + strings.Repeat("a", subjects.MinMessage) + `"}`)
	_, err := conn.Forward(t.Context(), subjects.GetUserProfile.Describe().Subject, nats.Header{}, message)
	wantCode(t, err, subjects.CodeTooLarge)
	if err == nil || !strings.Contains(err.Error(), "auth.get_user_profile takes at most 8192") {
		t.Errorf("got %v", err)
	}
}
