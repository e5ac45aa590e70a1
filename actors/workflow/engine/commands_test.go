package engine

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/workflow/definition"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// roundTrip encodes a command as sendOnce does, and decodes it as receive does.
func roundTrip[C any](t *testing.T, c C) {
	t.Helper()
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var got C
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	if !reflect.DeepEqual(got, c) {
		t.Errorf("%+v is received as %+v", c, got)
	}
}

func TestCommandsAreReceivedAsTheyWereSent(t *testing.T) {
	t.Parallel()
	roundTrip(t, startCommand{
		Row: Row{
			ID: "i", UserID: "u", WorkflowID: "w", Version: 3, Name: "n", ConsentID: "c", Priority: -2, Origin: Origin{Kind: OriginRetry, ID: "o", Depth: 2, Root: "r", Ancestors: "r s", Task: "t"},
			ParentID: "p", ParentCall: "1", Input: `{"a":1}`, Attributes: `{"b":"c"}`, Trace: "00", CreatedAt: 5,
			Limits: &definition.Limits{ConcurrencyKey: "k", MaxConcurrent: 1, RateKey: "r", Rate: 2, Period: time.Second},
		}, Schedule: "s",
	})
	roundTrip(t, cancelCommand{"e", "r"})
	roundTrip(t, suspendCommand{"e", "r"})
	roundTrip(t, resumeCommand{"e"})
	roundTrip(t, completeCommand{Execution: "e", Call: "1", Output: []byte(`{"a":1}`)})
	roundTrip(t, completeCommand{Execution: "e", Call: "1", Error: machine.NewError(machine.TypeRuntime, "x")})
	roundTrip(t, watchCommand{"e"})
	roundTrip(t, deliverCommand{UserID: "u", Event: machine.ValueOf(map[string]any{"type": "t", "list": []any{"a", nil, true}})})
	roundTrip(t, awaitCommand{"e"})
	roundTrip(t, awaitsChildCommand{"e", "c"})
	roundTrip(t, terminateCommand{"u"})
	roundTrip(t, truncateCommand{})
	roundTrip(t, flushCommand{})
	roundTrip(t, drainStartsCommand{})
	roundTrip(t, ControlReply{Status: machine.Suspended, Changed: true})
}

// request sends a command to a partition of another process and returns its reply as JSON.
func request[Reply any](t *testing.T, p *partition, c command[Reply]) (string, error) {
	t.Helper()
	arguments, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(envelope{Operation: c.operation(), Arguments: arguments})
	if err != nil {
		t.Fatal(err)
	}
	reply, err := receive(t.Context(), p, data)
	return string(reply), err
}

// TestReceivedCommands has a partition carry out each command as another process sends it.
func TestReceivedCommands(t *testing.T) {
	t.Parallel()
	onProcess(t, nil, func(t *testing.T, p *testProcess) {
		one := p.engine.partition(0)
		id := IDIn(p.newID(), 0)
		want := func(wanted, got string, err error) {
			t.Helper()
			if err != nil || got != wanted {
				t.Errorf("the reply is %s, %v, want %s", got, err, wanted)
			}
		}
		row := Row{ID: id, UserID: "ada", WorkflowID: "listen", Version: 1, Name: "listen", Input: "{}", CreatedAt: time.Now().UnixMicro()}
		got, err := request(t, one, startCommand{Row: row})
		want("{}", got, err)
		if _, err := request(t, one, startCommand{Row: row}); !errors.Is(err, ErrTaken) {
			t.Errorf("a second start: %v", err)
		}
		time.Sleep(500 * time.Millisecond)
		got, err = request(t, one, suspendCommand{Execution: id})
		want(`{"status":"suspended","changed":true}`, got, err)
		got, err = request(t, one, resumeCommand{Execution: id})
		want(`{"status":"waiting","changed":true}`, got, err)
		got, err = request(t, one, awaitsChildCommand{Execution: id, Child: "c"})
		want(`{"awaits":false}`, got, err)
		event := map[string]any{"specversion": "1.0", "type": "ping", "source": "s", "id": "1"}
		got, err = request(t, one, deliverCommand{UserID: "ada", Event: machine.ValueOf(event)})
		want(`{"delivered":1}`, got, err)
		if _, err := request(t, one, deliverCommand{UserID: "ada"}); err == nil {
			t.Error("a delivery without an event is carried out")
		}
		got, err = request(t, one, awaitCommand{Execution: id})
		want(`{"status":"completed"}`, got, err)
		got, err = request(t, one, cancelCommand{Execution: id})
		if err == nil {
			want(`{"status":"completed"}`, got, err)
		}
		got, err = request(t, one, flushCommand{})
		want("{}", got, err)
		for _, call := range []string{"3", "9"} {
			if _, err := request(t, one, completeCommand{Execution: id, Call: call}); !IsNotFound(err) {
				t.Errorf("a call of an execution that has ended: %v", err)
			}
		}
		got, err = request(t, one, truncateCommand{})
		want("{}", got, err)
		got, err = request(t, one, drainStartsCommand{})
		want("{}", got, err)
		got, err = request(t, one, terminateCommand{UserID: "ada"})
		want("{}", got, err)
		got, err = request(t, one, awaitCommand{Execution: id})
		want(`{"status":"completed"}`, got, err)
	})
}

func TestReceivedNonsense(t *testing.T) {
	t.Parallel()
	onProcess(t, nil, func(t *testing.T, p *testProcess) {
		one := p.engine.partition(0)
		for data, want := range map[string]string{
			"":                                      "decoding a command",
			"[]":                                    "decoding a command",
			`{}`:                                    `unknown command ""`,
			`{"operation":"explode"}`:               `unknown command "explode"`,
			`{"operation":"cancel"}`:                "decoding the arguments of cancel",
			`{"operation":"cancel","arguments":[]}`: "decoding the arguments of cancel",
		} {
			if _, err := receive(t.Context(), one, []byte(data)); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want %q", data, err, want)
			}
		}
		one.close(nil)
		if _, err := request(t, one, cancelCommand{Execution: "x0"}); !errors.Is(err, errPartitionMoving) {
			t.Errorf("a closed partition answers %v", err)
		}
	})
}

// TestCommandToAnotherProcess: a command finds the owner of its partition, and waits for one for a while.
func TestCommandToAnotherProcess(t *testing.T) {
	t.Parallel()
	onProcess(t, nil, func(t *testing.T, owner *testProcess) {
		other := newTestProcess(t, owner.w)
		id := owner.started("listen")
		reply, err := other.engine.Suspend(t.Context(), Row{ID: id, Partition: PartitionOf(id)}, "why")
		if err != nil || reply != (ControlReply{machine.Suspended, true}) {
			t.Errorf("%+v, %v", reply, err)
		}
		if row, err := other.engine.Current(t.Context(), id); err != nil || row.Status != string(machine.Suspended) {
			t.Errorf("read as %s, %v", row.Status, err)
		}
		if _, err := other.engine.Cancel(t.Context(), Row{ID: IDIn(id, 3), Partition: 3}, ""); !IsNotFound(err) {
			t.Errorf("an execution that does not exist: %v", err)
		}
		owner.kill()
		start := time.Now()
		if _, err := other.engine.Cancel(t.Context(), Row{ID: id, Partition: PartitionOf(id)}, ""); subjects.CodeOf(err) != subjects.CodeUnavailable {
			t.Errorf("without an owner: %v", err)
		}
		if took := time.Since(start); took < routeTimeout || took > routeTimeout+time.Second {
			t.Errorf("it waited %s for an owner", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := other.engine.FlushAll(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("within a second: %v", err)
		}
	})
}
