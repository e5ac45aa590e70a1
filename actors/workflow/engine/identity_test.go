package engine

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// TestIDIn: an id names the partition that it is made for, and is a UUID that differs from the other in its last digit alone.
func TestIDIn(t *testing.T) {
	t.Parallel()
	for range 100 {
		id := uuid.NewString()
		if number := PartitionOf(id); number < 0 || number >= subjects.WorkflowPartitions || IDIn(id, number) != id {
			t.Errorf("%s is in partition %d as %s", id, number, IDIn(id, number))
		}
		for number := range subjects.WorkflowPartitions {
			got := IDIn(id, number)
			if PartitionOf(got) != number || uuid.Validate(got) != nil || got[:len(got)-1] != id[:len(id)-1] {
				t.Errorf("%s in partition %d is %s", id, number, got)
			}
		}
	}
	for _, text := range []string{"", "x", "é", "0", "8"} {
		if got := PartitionOf(text); got != 0 {
			t.Errorf("%q is in partition %d", text, got)
		}
	}
}

func TestLimitedPartition(t *testing.T) {
	t.Parallel()
	used := map[int]bool{}
	for i := range 200 {
		name := fmt.Sprint("workflow ", i)
		number := LimitedPartition(name)
		if number != LimitedPartition(name) || number < 0 || number >= subjects.WorkflowPartitions {
			t.Errorf("%s is counted in partition %d", name, number)
		}
		used[number] = true
	}
	if len(used) != subjects.WorkflowPartitions {
		t.Errorf("only the partitions %v are used", used)
	}
}

func TestDerivedID(t *testing.T) {
	t.Parallel()
	if a, b := DerivedID("a"), DerivedID("b"); a == b || a != DerivedID("a") || uuid.Validate(a) != nil {
		t.Errorf("derived ids: %s, %s", a, b)
	}
}

// TestConfigCheck: each setting out of its bounds is named, with its bounds.
func TestConfigCheck(t *testing.T) {
	t.Parallel()
	if err := DefaultConfig().Check(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	for want, change := range map[string]func(c *Config){
		"workflow.max_concurrent is 0, and must be between 1 and 10000":     func(c *Config) { c.MaxConcurrent = 0 },
		"workflow.max_concurrent is 10001, and must be between 1 and 10000": func(c *Config) { c.MaxConcurrent = 10_001 },
		"workflow.max_steps is -1, and must be between 1 and 10000":         func(c *Config) { c.MaxSteps = -1 },
		"workflow.step_retries is -1, and must be at least 0":               func(c *Config) { c.StepRetries = -1 },
		"workflow.max_queued is -1, and must be at least 0":                 func(c *Config) { c.MaxQueued = -1 },
		"workflow.max_queued_per_user is 0, and must be at least 1":         func(c *Config) { c.MaxQueuedPerUser = 0 },
		"workflow.max_input is 0, and must be between 1 and 524288":         func(c *Config) { c.MaxInput = 0 },
		"workflow.max_result is 524289, and must be between 1 and 524288":   func(c *Config) { c.MaxResult = maxValue + 1 },
		"workflow.cut_after is 0, and must be at least 1":                   func(c *Config) { c.CutAfter = 0 },
		"workflow.step_timeout is 0s, and must be at least 1ms":             func(c *Config) { c.StepTimeout = 0 },
		"workflow.step_retry_delay is -1s, and must be at least 0s":         func(c *Config) { c.StepRetryDelay = -time.Second },
		"workflow.short_wait is -1ns, and must be at least 0s":              func(c *Config) { c.ShortWait = -1 },
	} {
		c := DefaultConfig()
		change(&c)
		if err := c.Check(); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	c := DefaultConfig()
	c.CutAfter, c.MaxQueued, c.StepRetries, c.ShortWait = math.MaxUint64, 0, 0, 0
	if err := c.Check(); err != nil {
		t.Errorf("at their bounds: %v", err)
	}
}

func TestOrigin(t *testing.T) {
	t.Parallel()
	for want, origin := range map[string]Origin{
		"": {}, "schedule:s": {Kind: OriginSchedule, ID: "s"}, "retry:e": {Kind: OriginRetry, ID: "e", Task: "/do/0", Depth: 2},
	} {
		if got := origin.String(); got != want {
			t.Errorf("%+v is %q, want %q", origin, got, want)
		}
	}
	if isRetry(Row{Origin: Origin{Kind: OriginRestart}}) || !isRetry(Row{Origin: Origin{Kind: OriginRetry}}) {
		t.Error("only a retry continues from a history")
	}
}

// TestFaults: every error of a call is an error type of the specification, and none tells what is not for the workflow.
func TestFaults(t *testing.T) {
	t.Parallel()
	own := machine.NewError("urn:own", "x")
	for name, test := range map[string]struct {
		err    error
		kind   string
		status int
		detail string
	}{
		"the workflow's own": {fmt.Errorf("calling: %w", own), "urn:own", own.Status, "x"},
		"unknown":            {errors.New("secret"), machine.TypeRuntime, 500, "an internal error occurred"},
		"internal":           {&subjects.Error{Code: subjects.CodeInternal, Detail: "secret"}, machine.TypeRuntime, 500, "an internal error occurred"},
		"invalid":            {subjects.Errorf(subjects.CodeInvalid, "n is missing"), machine.TypeValidation, 400, "n is missing"},
		"conflict":           {subjects.Errorf(subjects.CodeConflict, "taken"), machine.TypeCommunication, 409, "taken"},
		"without detail":     {&subjects.Error{Code: subjects.CodeNotFound}, machine.TypeCommunication, 404, subjects.CodeNotFound.Title()},
		"scope":              {&subjects.Error{Code: subjects.CodeConsentRequired, Detail: "no consent", Scope: "a.b"}, machine.TypeAuthorization, 403, "no consent (scope a.b)"},
		"blocked address":    {&egress.Error{Kind: egress.KindBlocked}, machine.TypeConfiguration, 400, ""},
		"slow server":        {&egress.Error{Kind: egress.KindTimeout}, machine.TypeTimeout, 408, ""},
		"broken connection":  {&egress.Error{Kind: egress.KindTransport}, machine.TypeCommunication, 502, ""},
		"refused connection": {&egress.Error{Kind: egress.KindConnect}, machine.TypeCommunication, 503, ""},
	} {
		got := FaultOf(test.err)
		if got.Type != test.kind || got.Status != test.status || test.detail != "" && got.Detail != test.detail {
			t.Errorf("%s: %+v, want %s %d %q", name, got, test.kind, test.status, test.detail)
		}
	}
	if text := ErrorText(errors.New("x")); !strings.Contains(text, `"detail":"an internal error occurred"`) {
		t.Errorf("as text: %s", text)
	}
}

// TestSameError: an error is recognised after it has travelled between processes.
func TestSameError(t *testing.T) {
	t.Parallel()
	travelled := subjects.ProblemOf(fmt.Errorf("x: %w", errUserQueueFull), "", "").AsError()
	if !errors.Is(travelled, errUserQueueFull) || errors.Is(travelled, errOverloaded) || errors.Is(errors.New("x"), errOverloaded) {
		t.Errorf("%v is not recognised", travelled)
	}
}

// TestFaultOfRow: what an execution that has ended is to its parent.
func TestFaultOfRow(t *testing.T) {
	t.Parallel()
	if fault := FaultOfRow(Row{Status: string(machine.Completed)}); fault != nil {
		t.Errorf("completed: %v", fault)
	}
	for name, row := range map[string]Row{
		"the child workflow was cancelled": {Status: string(machine.Cancelled)},
		"the child workflow has faulted":   {Status: string(machine.Faulted), Error: "not JSON"},
		"sad":                              {Status: string(machine.Faulted), Error: `{"type":"urn:x","status":500,"detail":"sad","instance":"/do/0"}`},
	} {
		if fault := FaultOfRow(row); fault == nil || fault.Detail != name || fault.Instance != "" {
			t.Errorf("%+v: %+v, want %s", row, fault, name)
		}
	}
}

// TestPlanIsStable: what is owned moves only to balance, and never more than one partition of a process at once.
func TestPlanIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shares := map[string][]int{"a": nil, "b": nil, "c": nil}
		for number := range subjects.WorkflowPartitions {
			if name := rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "owner"); name != "" {
				shares[name] = append(shares[name], number)
			}
		}
		taken := map[int]string{}
		total := 0
		for name, own := range shares {
			total += len(own)
			take, give := plan(name, shares)
			for _, number := range take {
				if taken[number] != "" {
					t.Fatalf("%s and %s take partition %d of %v", taken[number], name, number, shares)
				}
				taken[number] = name
			}
			if give >= 0 {
				least := len(own)
				for _, other := range shares {
					least = min(least, len(other))
				}
				if len(own)-least < 2 {
					t.Fatalf("%s gives %d away, with shares %v", name, give, shares)
				}
			}
			for other, theirs := range shares {
				for _, number := range theirs {
					if taken[number] != "" {
						t.Fatalf("%s takes partition %d of %s", taken[number], number, other)
					}
				}
			}
		}
		if total+len(taken) != subjects.WorkflowPartitions {
			t.Fatalf("%d partitions are owned and %d taken: %v", total, len(taken), shares)
		}
	})
}
