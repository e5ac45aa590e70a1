package e2e_test

import (
	"database/sql"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun/driver/pgdriver"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

// benchSite is a weft in one process or several, with the requests that are measured.
type benchSite struct {
	name    string
	running []*running
	// read is GET /v1/users/me, execute executes three durable steps, action one action of a connection by a single caller; nil in several processes.
	read, execute, action *target
	// cpu is the CPU time of all its processes per execution, in microseconds.
	cpu []float64
}

// BenchmarkDatabases measures a signed-in read and executions of three durable steps, with 64 callers each, on SQLite and PostgreSQL in one
// process, and on PostgreSQL in six: one for each actor and the gateway, beside a nats-server; and an action of a connection with one caller on
// both databases. The sites are measured in turn. Metrics are medians of the rounds; action_over_sqlite_µs is a difference of p50s, _of_sqlite and _of_one are ratios of rates. postgres_cpu_µs is the CPU time of PostgreSQL's processes per execution.
// `make bench` has PostgreSQL sync its log.
func BenchmarkDatabases(b *testing.B) {
	quiet := []string{"WEFT_GATEWAY_LIMITS_ENABLED=false", "WEFT_LOG_LEVEL=warn", "WEFT_AUTH_ACCESS_TTL=24h"}
	sites := []*benchSite{newBenchSite(b, "sqlite", []*running{startWeft(b, b.TempDir(), quiet...)}, 0)}
	var server *postgresServer
	for _, kind := range actortest.Databases(b) {
		if kind.Name != "postgres" {
			continue
		}
		dsn := postgresSchemas(b, kind)
		server = newPostgresServer(b, dsn)
		sites = append(sites, newBenchSite(b, "postgres", []*running{startWeft(b, b.TempDir(), append(quiet, "WEFT_DATABASE_URL="+dsn)...)}, 0))
		binary, err := weftBinary()
		if err != nil {
			b.Fatal(err)
		}
		p := startProcesses(b, binary, quiet...)
		var all []*running
		for _, actor := range subjects.Actors() {
			all = append(all, p.launch(p.run(actor, "--actors", actor)))
		}
		all = append(all, p.launch(p.run("gateway", "--gateway", "--http", freePort(b))))
		sites = append(sites, newBenchSite(b, "six", all, len(all)-1))
	}
	executions := 0
	before := server.cpu(b)
	for b.Loop() {
		for _, s := range sites {
			if err := s.read.round(); err != nil {
				b.Fatalf("%s: %v", s.name, err)
			}
		}
		for _, s := range sites {
			executions += s.measureExecutions(b)
		}
		for _, s := range sites {
			if s.action == nil {
				continue
			}
			if err := s.action.round(); err != nil {
				b.Fatalf("%s: %v", s.name, err)
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	for _, s := range sites {
		for name, t := range map[string]*target{"read": s.read, "execute": s.execute, "action": s.action} {
			if t == nil {
				continue
			}
			b.ReportMetric(median(t.rates), s.name+"_"+name+"/s")
			b.ReportMetric(median(t.p50s), s.name+"_"+name+"_p50_µs")
			b.ReportMetric(median(t.p99s), s.name+"_"+name+"_p99_µs")
		}
		b.ReportMetric(median(s.cpu), s.name+"_cpu_µs")
	}
	if len(sites) < 3 {
		return
	}
	b.ReportMetric(median(sites[1].read.rates)/median(sites[0].read.rates), "read_of_sqlite")
	b.ReportMetric(median(sites[1].execute.rates)/median(sites[0].execute.rates), "execute_of_sqlite")
	b.ReportMetric(median(sites[1].action.p50s)-median(sites[0].action.p50s), "action_over_sqlite_µs")
	b.ReportMetric(median(sites[2].read.rates)/median(sites[1].read.rates), "read_of_one")
	b.ReportMetric(median(sites[2].execute.rates)/median(sites[1].execute.rates), "execute_of_one")
	b.ReportMetric(float64((server.cpu(b)-before).Microseconds())/float64(executions), "postgres_cpu_µs")
}

// newBenchSite signs a user up and creates the workflow. at is the index of the gateway's process.
func newBenchSite(b *testing.B, name string, all []*running, at int) *benchSite {
	b.Helper()
	server := all[at]
	c, _ := signUp(b, server.ready.HTTP)
	c.grant(b, "workflows.execute")
	id := c.must(b, 201, "POST", "/v1/workflows", map[string]any{"definition": threeEchoes}).text(".id")
	s := &benchSite{
		name: name, running: all, read: &target{name: name, server: server, token: c.token}, execute: &target{name: name, server: server, message: executeRequest(c, id)},
	}
	if len(all) == 1 {
		c.grant(b, subjects.ScopeIntegrationsExecute)
		s.action = &target{name: name, server: server, message: actionRequest(c, startStubProvider(b, nil).connect(b, c, "shop")), connections: 1}
	}
	for _, t := range []*target{s.read, s.execute, s.action} {
		if t == nil {
			continue
		}
		if _, err := t.load(benchWindow / 2); err != nil {
			b.Fatalf("warming up %s: %v", name, err)
		}
	}
	return s
}

// actionRequest returns the HTTP request with which a client executes an action of a connection.
func actionRequest(c *client, connection string) []byte {
	const body = `{"input":{"path":"/thing"}}`
	return []byte("POST /v1/integrations/" + connection + "/actions/get HTTP/1.1\r\nHost: " + strings.TrimPrefix(c.url, "http://") +
		"\r\nAuthorization: Bearer " + c.token + "\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}

// measureExecutions measures a round of executions and returns their number, if the site is on PostgreSQL.
func (s *benchSite) measureExecutions(b *testing.B) int {
	b.Helper()
	before := s.cpuTime(b)
	took, err := s.execute.load(benchWindow)
	if err != nil {
		b.Fatalf("%s: %v", s.name, err)
	}
	s.cpu = append(s.cpu, float64((s.cpuTime(b)-before).Microseconds())/float64(len(took)))
	s.execute.add(took)
	if s.name == "sqlite" {
		return 0
	}
	return len(took)
}

// cpuTime is the CPU time of all processes of the site.
func (s *benchSite) cpuTime(b *testing.B) (sum time.Duration) {
	b.Helper()
	for _, r := range s.running {
		took, err := cpuTime(r.cmd.Process.Pid)
		if err != nil {
			b.Fatal(err)
		}
		sum += took
	}
	return sum
}

// postgresServer is a PostgreSQL server on this machine.
type postgresServer struct{ pid int }

// newPostgresServer finds the server's process by that of one of its connections.
func newPostgresServer(b *testing.B, dsn string) *postgresServer {
	b.Helper()
	url, _ := splitSchemaPrefix(b, dsn)
	pool := sql.OpenDB(pgdriver.NewConnector(pgdriver.WithDSN(url)))
	defer func() { _ = pool.Close() }()
	var backend int
	if err := pool.QueryRowContext(b.Context(), "SELECT pg_backend_pid()").Scan(&backend); err != nil {
		b.Fatal(err)
	}
	pid, err := statSum(backend, statParent)
	if err != nil {
		b.Fatalf("PostgreSQL is not on this machine: %v", err)
	}
	return &postgresServer{pid}
}

// cpu is the CPU time of the server's processes, and of those that have exited; 0 without a server.
func (s *postgresServer) cpu(b *testing.B) time.Duration {
	b.Helper()
	if s == nil {
		return 0
	}
	ticks, err := statSum(s.pid, statUser, statSystem, statChildrenUser, statChildrenSystem)
	if err != nil {
		b.Fatal(err)
	}
	all, err := os.ReadDir("/proc")
	if err != nil {
		b.Fatal(err)
	}
	for _, entry := range all {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if parent, err := statSum(pid, statParent); err != nil || parent != s.pid {
			continue
		}
		own, _ := statSum(pid, statUser, statSystem) // it may have exited, and counts as the server's then
		ticks += own
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
