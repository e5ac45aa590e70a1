//go:build torture

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
)

// attackVariable is the environment variable that makes TestAttackers the attackers' process: an attackOrder.
const attackVariable = "WEFT_TEST_ATTACK"

// attackerNice is the niceness of the attackers' process, which has the processors after weft: real attackers have machines of their own.
const attackerNice = "10"

// attackTarget is the weft that is attacked. NATS and Keys, the directory of the users' keys, are empty without an embedded server.
type attackTarget struct{ URL, NATS, Keys string }

// attackOrder is the configuration of the attackers' process: which attack it prepares.
type attackOrder struct {
	Attack string
	Target attackTarget
}

// attackReport is a message of the attackers' process: Refuse, an address that the mail server must refuse from now on; Ready, once it takes orders;
// Answers, after the attack.
type attackReport struct {
	Refuse  string
	Ready   bool
	Answers string
}

// Orders to the attackers' process. It also ends when its input ends.
const (
	orderAttack  = "attack"
	orderStop    = "stop"
	orderExplain = "explain"
	orderEnd     = "end"
)

// attackerProcess is the process of the attackers.
type attackerProcess struct {
	cmd     *exec.Cmd
	orders  *json.Encoder
	closing *os.File
	reports *json.Decoder
	output  bytes.Buffer
}

// startAttackers starts the attackers' process and returns once they have signed up.
func startAttackers(t *testing.T, s *site, a attack) *attackerProcess {
	t.Helper()
	order, err := json.Marshal(attackOrder{Attack: a.name, Target: s.asTarget()})
	if err != nil {
		t.Fatal(err)
	}
	orders, orderWriter, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reports, reportWriter, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &attackerProcess{
		cmd:     exec.Command("nice", "-n", attackerNice, os.Args[0], "-test.run=^TestAttackers$", "-test.v", "-test.timeout=10m"),
		orders:  json.NewEncoder(orderWriter),
		closing: orderWriter, reports: json.NewDecoder(reports),
	}
	p.cmd.Env = append(os.Environ(), attackVariable+"="+string(order))
	p.cmd.ExtraFiles = []*os.File{orders, reportWriter}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = orders.Close(), reportWriter.Close()
	for {
		var r attackReport
		if err := p.reports.Decode(&r); err != nil {
			t.Fatalf("the attackers' process: %v\n%s", errors.Join(err, p.end()), p.output.String())
		}
		if r.Refuse != "" {
			s.mail.refuse(r.Refuse)
		}
		if r.Ready {
			return p
		}
	}
}

// tell gives the process an order.
func (p *attackerProcess) tell(order string) { _ = p.orders.Encode(order) }

// answers returns the summary of the answers after an attack.
func (p *attackerProcess) answers() string {
	var r attackReport
	if err := p.reports.Decode(&r); err != nil {
		return fmt.Sprintf("the attackers' process failed: %v", err)
	}
	return r.Answers
}

// end lets the process end and waits for it.
func (p *attackerProcess) end() error {
	p.tell(orderEnd)
	_ = p.closing.Close()
	return p.cmd.Wait()
}

// TestAttackers is the attackers' process of another test. In a run of all tests it has nothing to do.
func TestAttackers(t *testing.T) {
	var order attackOrder
	text := os.Getenv(attackVariable)
	if text == "" {
		return
	}
	if err := json.Unmarshal([]byte(text), &order); err != nil {
		t.Fatal(err)
	}
	orders, reports := json.NewDecoder(os.NewFile(3, "orders")), json.NewEncoder(os.NewFile(4, "reports"))
	report := func(r attackReport) {
		if err := reports.Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	all := append(attacks(), postgresAttacks()...)
	a := all[slices.IndexFunc(all, func(a attack) bool { return a.name == order.Attack })]
	b := newAttackers(t, order.Target, func(address string) { report(attackReport{Refuse: address}) }, startHostileProvider(t))
	report(attackReport{Ready: true})

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b.ctx = ctx
	var attacking sync.WaitGroup
	for {
		var order string
		if err := orders.Decode(&order); err != nil {
			order = orderEnd
		}
		switch order {
		case orderAttack:
			attacking.Go(func() { a.run(b) })
		case orderStop:
			cancel()
			attacking.Wait()
			report(attackReport{Answers: fmt.Sprintf("%s (seed %d)", b.summary(), b.seed)})
		case orderExplain:
			if b.generated != nil {
				b.generated.explain(t)
			}
		default:
			return
		}
	}
}
