//go:build torture

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/weftmesh/weft/actors/actortest"
)

// TestCachedProfilesAreLinearizable: three auth processes that share a PostgreSQL database answer profiles from memory, while they are frozen and cut
// off from NATS for up to seven seconds, more than a lease. What clients read and write over HTTP is linearizable.
func TestCachedProfilesAreLinearizable(t *testing.T) {
	binary, err := weftBinary()
	if err != nil {
		t.Fatal(err)
	}
	const users, readers = 2, 3
	p := startProcesses(t, binary, "WEFT_GATEWAY_LIMITS_ENABLED=false")
	type authProcess struct {
		*running
		proxy *actortest.Relay
	}
	var auth []authProcess
	for i := range 3 {
		proxy := actortest.NewRelay(t, p.nats)
		program := p.run(fmt.Sprint("auth-", i), "--actors", "auth")
		program.env = append(slices.Clone(program.env), "WEFT_NATS_URL=nats://"+proxy.Address())
		auth = append(auth, authProcess{p.launch(program), proxy})
	}
	p.launch(p.run("others", "--actors", "integration,workflow,consent,notification"))
	gateway := p.launch(p.run("gateway", "--gateway", "--http", freePort(t)))

	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 2*tortureDuration(t))
	defer cancel()
	var mu sync.Mutex
	var history []porcupine.Operation
	unknown := 0
	record := func(o porcupine.Operation, known bool) {
		mu.Lock()
		defer mu.Unlock()
		if o.Return = time.Since(start).Nanoseconds(); !known {
			o.Return = math.MaxInt64 // it may take effect at any time
			unknown++
		}
		history = append(history, o)
	}
	var clients sync.WaitGroup
	for user := range users {
		c, _ := signUp(t, gateway.ready.HTTP)
		c.http.Timeout = 15 * time.Second
		clients.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				in := actortest.Access{Register: fmt.Sprint(user), Write: true, Value: fmt.Sprint("n", n)}
				body, _ := json.Marshal(map[string]any{"first_name": in.Value})
				o := porcupine.Operation{ClientId: user, Input: in, Call: time.Since(start).Nanoseconds()}
				a, err := c.do(t.Context(), http.MethodPatch, "/v1/users/me", body)
				record(o, err == nil && a.status == http.StatusOK)
				<-time.After(time.Duration(rand.IntN(60)) * time.Millisecond) // reads between two writes
			}
		})
		for reader := range readers {
			clients.Go(func() {
				for ctx.Err() == nil {
					o := porcupine.Operation{
						ClientId: users + user*readers + reader, Input: actortest.Access{Register: fmt.Sprint(user)}, Call: time.Since(start).Nanoseconds(),
					}
					a, err := c.do(t.Context(), http.MethodGet, "/v1/users/me", nil)
					if err != nil || a.status != http.StatusOK {
						continue // a read that was not answered says nothing
					}
					o.Output = a.text(".first_name")
					record(o, true)
					<-time.After(2 * time.Millisecond) // keeps the history small
				}
			})
		}
	}
	freezes, cuts := 0, 0
	for ctx.Err() == nil {
		victim, pause := auth[rand.IntN(len(auth))], time.After(time.Duration(200+rand.IntN(6800))*time.Millisecond)
		if rand.IntN(2) == 0 {
			_ = victim.cmd.Process.Signal(syscall.SIGSTOP)
			<-pause
			_ = victim.cmd.Process.Signal(syscall.SIGCONT)
			freezes++
		} else {
			victim.proxy.Cut(true)
			<-pause
			victim.proxy.Cut(false)
			cuts++
		}
		<-time.After(time.Duration(rand.IntN(1000)) * time.Millisecond) // between two faults
	}
	clients.Wait()
	t.Logf("%d operations, %d writes of unknown outcome, %d freezes, %d cuts", len(history), unknown, freezes, cuts)
	if len(history) < 100 {
		t.Error("too few operations to tell anything")
	}
	if result := porcupine.CheckOperationsTimeout(actortest.Registers(""), history, time.Minute); result != porcupine.Ok {
		t.Errorf("the history is not linearizable: %s", result)
	}
}
