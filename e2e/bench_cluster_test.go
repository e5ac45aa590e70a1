package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

// BenchmarkCluster measures executions of three durable steps with 64 callers on a cluster of three NATS servers with TLS, three replicas and
// PostgreSQL, with one, two and three workflow processes, a gateway and a process of the other actors; and in turn in one process on PostgreSQL.
// of_one is the ratio of rates, cpu_µs the CPU time of all processes per execution without PostgreSQL's, servers included.
func BenchmarkCluster(b *testing.B) {
	quiet := []string{"WEFT_GATEWAY_LIMITS_ENABLED=false", "WEFT_LOG_LEVEL=warn", "WEFT_AUTH_ACCESS_TTL=24h"}
	var databases []string
	for _, kind := range actortest.Databases(b) {
		if kind.Name == "postgres" {
			databases = append(databases, postgresSchemas(b, kind), postgresSchemas(b, kind))
		}
	}
	if len(databases) == 0 {
		return
	}
	one := newBenchSite(b, "one", []*running{startWeft(b, b.TempDir(), append(quiet, "WEFT_DATABASE_URL="+databases[0])...)}, 0)
	binary, err := weftBinary()
	if err != nil {
		b.Fatal(err)
	}
	s := startClusterSite(b, binary, databases[1], onThisMachine, unwrapped, quiet...)
	others := strings.ReplaceAll(strings.Join(subjects.Actors(), ","), "workflow,", "")
	all := append([]*running{s.launch(s.gateway("gateway"))}, s.running...)
	all = append(all, s.launch(s.run("others", "--actors", others)))
	var cluster *benchSite
	for workers := 1; workers <= 3; workers++ {
		all = append(all, s.launch(s.run(fmt.Sprint("workflow-", workers), "--actors", "workflow")))
		if cluster == nil {
			cluster = newBenchSite(b, "cluster", all, 0)
		}
		<-time.After(3 * time.Second) // the partitions are divided among the workers by then
		b.Run(fmt.Sprint(workers), func(b *testing.B) {
			cluster.running, cluster.execute.rates, cluster.execute.p50s, cluster.execute.p99s, cluster.cpu = all, nil, nil, nil, nil
			one.execute.rates, one.cpu = nil, nil
			for b.Loop() {
				one.measureExecutions(b)
				cluster.measureExecutions(b)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(cluster.execute.rates), "executions/s")
			b.ReportMetric(median(cluster.execute.p50s), "p50_µs")
			b.ReportMetric(median(cluster.execute.p99s), "p99_µs")
			b.ReportMetric(median(cluster.cpu), "cpu_µs")
			b.ReportMetric(median(one.execute.rates), "one/s")
			b.ReportMetric(median(one.cpu), "one_cpu_µs")
			b.ReportMetric(median(cluster.execute.rates)/median(one.execute.rates), "of_one")
		})
	}
}
