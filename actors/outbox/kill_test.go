package outbox_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/uptrace/bun"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/idempotency"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/actors/seal"
)

// killedEnv is the environment variable that passes a killedJob as JSON to the process that is killed.
const killedEnv = "WEFT_TEST_KILLED"

// killedJob is the work of the killed process: calls From up to, but not including, To.
type killedJob struct {
	Database     database.Config
	Keyset, NATS string
	From, To     int
}

// TestKilledProcess is the process that TestKillNine kills. Each of its calls has an idempotency key, a row and a message; it
// prints the number of each answered call. Without killedEnv it does nothing.
func TestKilledProcess(t *testing.T) {
	var job killedJob
	if text := os.Getenv(killedEnv); text == "" {
		return
	} else if err := json.Unmarshal([]byte(text), &job); err != nil {
		t.Fatal(err)
	}
	db := actortest.OpenDatabase(t, job.Database, actortest.Things)
	sealer, err := seal.Open(job.Keyset)
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(job.NATS)
	if err != nil {
		t.Fatal(err)
	}
	o := outbox.New(outbox.Config{DB: db, Log: zap.NewNop(), Poll: 50 * time.Millisecond})
	go func() { _ = o.Run(t.Context(), nc) }()
	i := idempotency.New(idempotency.Config{DB: db, Sealer: sealer, Log: zap.NewNop(), Lease: 200 * time.Millisecond})
	for n := job.From; n < job.To; n++ {
		call := func(ctx context.Context) (idempotency.Answer, error) {
			id := uuid.NewString() // a second run would insert a second row
			return idempotency.Answer{Body: []byte(id)}, db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) error {
				if _, err := tx.NewRaw("INSERT INTO things (id, n) VALUES (?, ?)", id, n).Exec(ctx); err != nil {
					return err
				}
				return o.Add(ctx, tx, outbox.Message{Subject: "event.x", Data: []byte(strconv.Itoa(n))})
			})
		}
		for {
			_, _, err := i.Do(t.Context(), idempotency.Key{Endpoint: "weft.v1.test.make", Caller: "user 1", Key: strconv.Itoa(n)}, nil, nil, call)
			if err == nil {
				break
			}
			if !errors.Is(err, idempotency.ErrInProgress) {
				t.Fatal(err)
			}
		}
		fmt.Println("answered", n)
	}
	drained(t, o)
}

// A process is killed repeatedly during its calls, and its caller repeats the calls that were not answered. Every call takes effect
// exactly once, and its message has one id.
func TestKillNine(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		const kills, perLife = 6, 60
		server := startNATS(t, t.TempDir(), -1)
		stream := makeStream(t, connect(t, server), "event.>")
		job := killedJob{
			Database: kind.Config(t, "auth"), Keyset: t.TempDir() + "/keyset.json", NATS: server.ClientURL(), To: kills * perLife,
		}
		for life := range kills + 1 {
			after := job.To
			if life < kills {
				after = job.From + 1 + rand.IntN(perLife-1)
			}
			job.From = runAndKill(t, job, after)
		}
		db := actortest.OpenDatabase(t, job.Database, actortest.Things)
		var numbers []int
		if err := db.NewSelect().TableExpr("things").Column("n").OrderExpr("n").Scan(t.Context(), &numbers); err != nil {
			t.Fatal(err)
		}
		for n, got := range numbers {
			if n != got {
				t.Fatalf("row %d is of call %d: a call is missing or was repeated", n, got)
			}
		}
		published := map[string]string{}
		for _, m := range stored(t, stream) {
			published[m.Header.Get("Nats-Msg-Id")] = string(m.Data)
		}
		perCall := map[string]int{}
		for _, call := range published {
			perCall[call]++
		}
		if len(numbers) != job.To || len(published) != job.To || len(perCall) != job.To {
			t.Errorf("%d rows and %d messages (of %d calls), want %d", len(numbers), len(published), len(perCall), job.To)
		}
	})
}

// runAndKill runs the process until it has answered the call before after, and then kills it. If that is its last call, it lets
// the process end. It returns the first call without an observed answer.
func runAndKill(t *testing.T, job killedJob, after int) (next int) {
	t.Helper()
	text, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledProcess$")
	cmd.Env = append(os.Environ(), killedEnv+"="+string(text))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	next = job.From
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var n int
		if _, err := fmt.Sscanf(lines.Text(), "answered %d", &n); err != nil {
			if next < job.To {
				t.Log(lines.Text())
			}
			continue
		}
		if next = n + 1; next == after && after < job.To {
			_ = cmd.Process.Kill()
			break
		}
	}
	// Output that was not read before the kill counts as not answered: the caller repeats those calls.
	if err := cmd.Wait(); err != nil && after == job.To {
		t.Fatalf("the process failed: %v", err)
	}
	return next
}
