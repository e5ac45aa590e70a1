//go:build conformance

package notification_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/notification"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// mailpitModule is the SMTP server Mailpit, which can refuse what it is given by chance.
const mailpitModule = "github.com/axllent/mailpit@v1.27.11"

// mailpit is a running Mailpit.
type mailpit struct {
	smtp int
	api  string
}

// buildMailpit builds Mailpit with the Go toolchain and returns its path.
func buildMailpit(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "install", mailpitModule)
	build.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building Mailpit, which needs the Go toolchain and its module proxy: go install %s: %v\n%s", mailpitModule, err, out)
	}
	return filepath.Join(dir, "mailpit")
}

// startMailpit runs Mailpit until the test ends.
func startMailpit(t *testing.T, binary string) mailpit {
	t.Helper()
	dir := t.TempDir()
	mail, web := freePort(t), freePort(t)
	m := mailpit{mail, "http://127.0.0.1:" + strconv.Itoa(web) + "/api/v1/"}
	ctx, cancel := context.WithCancel(context.Background())
	server := exec.CommandContext(ctx, binary, "--smtp", "127.0.0.1:"+strconv.Itoa(mail), "--listen", "127.0.0.1:"+strconv.Itoa(web),
		"--database", filepath.Join(dir, "mail.db"), "--max", "0", "--smtp-disable-rdns", "--disable-version-check", "--enable-chaos", "--quiet")
	var log bytes.Buffer
	server.Stdout, server.Stderr = &log, &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = server.Wait()
		if t.Failed() {
			t.Logf("Mailpit's log:\n%s", log.String())
		}
	})
	actortest.Eventually(t, "Mailpit answers", func() bool {
		answer, err := http.Get(m.api + "chaos")
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	return m
}

// freePort returns a port of 127.0.0.1 that was free a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port
}

// trigger is how likely in percent Mailpit answers a command with a code.
type trigger struct {
	ErrorCode   int
	Probability int
}

// chaos sets what Mailpit refuses.
func (m mailpit) chaos(t *testing.T, sender, recipient trigger) {
	t.Helper()
	body, err := json.Marshal(map[string]trigger{"Sender": sender, "Recipient": recipient, "Authentication": {ErrorCode: 535}})
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, m.api+"chaos", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("setting Mailpit's chaos: %s", answer.Status)
	}
}

// received returns how often each message has arrived, by its Message-ID.
func (m mailpit) received(t *testing.T) map[string]int {
	t.Helper()
	count := map[string]int{}
	for start := 0; ; {
		answer, err := http.Get(fmt.Sprintf("%smessages?start=%d&limit=200", m.api, start))
		if err != nil {
			t.Fatal(err)
		}
		var page struct {
			Total    int
			Messages []struct{ MessageID string }
		}
		err = json.NewDecoder(answer.Body).Decode(&page)
		_ = answer.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, message := range page.Messages {
			count[message.MessageID]++
		}
		if start += len(page.Messages); start >= page.Total || len(page.Messages) == 0 {
			return count
		}
	}
}

// TestMailpitChaos: whatever a server refuses, each accepted notification arrives exactly once, or fails with the reason and did not arrive. Refusals
// for now are tried again, as often as there are attempts; those for good are not.
func TestMailpitChaos(t *testing.T) {
	binary := buildMailpit(t)
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		server := startMailpit(t, binary)
		var clock actortest.Clock
		f := setup(t, database, func(c *notification.Config) {
			c.SMTP.Host, c.SMTP.Port, c.Pipeline.EmailPerHour = "127.0.0.1", server.smtp, 0
			// The queue keeps a message back by the real time; the sweeper goes by the clock, and makes its job again.
			c.Pipeline.Sweep, c.Pipeline.SweepAfter = 50*time.Millisecond, time.Minute
		}, actortest.WithClock(clock.Now), actortest.Quiet())
		user := actortest.User()
		for name, test := range map[string]struct {
			sender, recipient trigger
			// failed are what the errors of failed deliveries may say.
			reason, says string
			attempts     int
		}{
			"for now":        {trigger{451, 15}, trigger{452, 10}, "attempts_exhausted", "45", 6},
			"for good":       {trigger{550, 10}, trigger{554, 30}, "refused", "55", 1},
			"both":           {trigger{421, 15}, trigger{550, 20}, "refused", "550", 6},
			"nothing at all": {trigger{451, 0}, trigger{451, 0}, "", "", 1},
		} {
			f.stop(t)
			f.start(t) // with circuit breakers that are closed
			server.chaos(t, test.sender, test.recipient)
			const count = 40
			ids := make([]string, count)
			ada := f.user(t, user)
			for i := range ids {
				ids[i] = f.mail(t, ada, "system")
			}
			final := map[string]subjects.ChannelDelivery{}
			actortest.Eventually(t, name+": all are over", func() bool {
				if f.settled(t, f.user(t, user), ids, final) {
					clock.Advance(20 * time.Second) // less than an attempt may take, which may begin now
				}
				return len(final) == count
			})
			received, delivered := server.received(t), 0
			for id, d := range final {
				arrived := received[id+".email@example.com"]
				switch {
				case d.Status == "delivered" && arrived == 1:
					delivered++
				case d.Status == "failed" && arrived == 0 && (d.Reason == test.reason || d.Reason == "attempts_exhausted" && test.attempts > 1) &&
					d.Error != "" && d.Attempts <= test.attempts:
					if d.Reason == "refused" && !strings.Contains(d.Error, test.says) {
						t.Errorf("%s: %s: %s", name, id, d.Error)
					}
				default:
					t.Errorf("%s: %s has arrived %d times: %+v", name, id, arrived, d)
				}
			}
			if test.reason == "" && delivered != count || delivered == 0 {
				t.Errorf("%s: %d of %d were delivered", name, delivered, count)
			}
			t.Logf("%s: %d of %d delivered", name, delivered, count)
		}
	})
}

// settled adds the deliveries by mail that are over to those that were before. It reports whether no attempt for the others is
// under way: the clock must not overtake one.
func (f *fixture) settled(t *testing.T, as mesh.As, ids []string, over map[string]subjects.ChannelDelivery) bool {
	t.Helper()
	waits := true
	for _, id := range ids {
		if _, known := over[id]; known {
			continue
		}
		switch d := f.delivery(t, as, id, "email"); {
		case d.Status == "delivered" || d.Status == "failed":
			over[id] = d
		case d.Attempts == 0 || d.NextAttemptAt == nil || d.NextAttemptAt.Sub(d.UpdatedAt) == subjects.Deliver.Consumer().AckWait:
			waits = false
		}
	}
	return waits
}
