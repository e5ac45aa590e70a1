package workflow_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/workflow"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// BenchmarkExecute measures execute_workflow over NATS with three steps of the built-in echo, while every acknowledged write is
// synced to disk.
func BenchmarkExecute(b *testing.B) {
	for _, database := range actortest.Databases(b) {
		m := actortest.Start(b, actortest.SyncAlways(), actortest.Quiet())
		user := actortest.User()
		as := mesh.As{Token: m.Token(b, user)}
		m.Consent(b, user, subjects.ScopeWorkflowsExecute)
		m.Host(b, "workflow", database.Config(b, "workflow"), workflow.Migrations, func(d actors.Deps) (actors.Service, error) {
			a, err := workflow.New(d, workflow.DefaultConfig())
			if err != nil {
				return actors.Service{}, err
			}
			return a.Service(), nil
		})
		caller := m.Conn(b, "gateway")
		w, err := mesh.Call(b.Context(), caller, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: []byte(
			strconv.Quote(workflowOf("- a: {call: echo, with: {n: 1}}\n- b: {call: echo, with: {n: 2}}\n- c: {call: echo, with: {n: 3}}\n")),
		)}, as)
		if err != nil {
			b.Fatal(err)
		}
		for _, callers := range []int{1, 8, 64} {
			b.Run(database.Name+"/"+strconv.Itoa(callers), func(b *testing.B) {
				took := make(chan time.Duration, b.N)
				work := make(chan struct{}, b.N)
				for range b.N {
					work <- struct{}{}
				}
				close(work)
				b.ResetTimer()
				done := make(chan struct{})
				for range callers {
					go func() {
						defer func() { done <- struct{}{} }()
						for range work {
							started := time.Now()
							e, err := mesh.Call(b.Context(), caller, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: w.ID}, as)
							if err != nil || e.Status != subjects.ExecutionCompleted {
								b.Errorf("the execution is %s, %v", e.Status, err)
								return
							}
							took <- time.Since(started)
						}
					}()
				}
				for range callers {
					<-done
				}
				b.StopTimer()
				close(took)
				var all []time.Duration
				for d := range took {
					all = append(all, d)
				}
				slices.Sort(all)
				if len(all) > 0 {
					b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
					b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
					b.ReportMetric(float64(len(all))/b.Elapsed().Seconds(), "executions/s")
				}
			})
		}
	}
}
