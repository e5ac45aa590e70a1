package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// clusterConfig writes a configuration for a cluster. Replicas are set only if they are not 0.
func clusterConfig(t *testing.T, c *actortest.Cluster, data string, replicas int) string {
	t.Helper()
	text := fmt.Sprintf("data: %s\nauth: {bcrypt_cost: 4}\nlog: {level: warn, format: json}\nmetrics: {port: -1}\nnats:\n  url: %s\n  keys: %s\n",
		data, c.URL(), c.Keys())
	if replicas > 0 {
		text += fmt.Sprintf("  replicas: %d\n", replicas)
	}
	return configFile(t, text)
}

// replicasOf returns the distinct numbers of replicas of all streams and durables, by configuration and by servers that store them.
func replicasOf(t *testing.T, conn *mesh.Conn) []int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	found := map[int]bool{}
	list := conn.JS.ListStreams(ctx)
	for info := range list.Info() {
		found[info.Config.Replicas], found[len(info.Cluster.Replicas)+1] = true, true
	}
	if list.Err() != nil {
		t.Fatal(list.Err())
	}
	for _, c := range subjects.Consumers() {
		consumer, err := conn.JS.Consumer(ctx, c.Stream, c.Durable)
		if err != nil {
			t.Fatal(err)
		}
		found[len(consumer.CachedInfo().Cluster.Replicas)+1] = true
	}
	var numbers []int
	for n := range found {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return numbers
}

// TestOnlyMigrateChangesTheStreamsOfACluster migrates a cluster of three servers before its meta leader is elected, runs weft without
// its number of replicas and with the key of migrate at hand, stops a server, and lowers the replicas and raises them again.
func TestOnlyMigrateChangesTheStreamsOfACluster(t *testing.T) {
	t.Parallel()
	cluster, data := actortest.NewCluster(t, 3), t.TempDir()
	three, unset := clusterConfig(t, cluster, data, 3), clusterConfig(t, cluster, data, 0)

	cluster.Start(t, 0) // no majority: JetStream does not answer
	if got := weft(t, "", "migrate", "--streams-only", "--wait", "3s", "--config", three); got.code != exitFailure ||
		!strings.Contains(got.stdout, "waiting for JetStream to answer") || !strings.Contains(got.stderr, "meta leader") || !strings.Contains(got.stderr, "--wait 3s") {
		t.Fatalf("migrating without a meta leader: %+v", got)
	}
	migrated := make(chan result, 1)
	go func() { migrated <- weft(t, "", "migrate", "--config", three) }()
	cluster.Start(t, 1)
	cluster.Start(t, 2)
	if got := <-migrated; got.code != 0 || !strings.Contains(got.stdout, "create   stream EVENTS") {
		t.Fatalf("migrating: %+v", got)
	}
	operator := cluster.Connect(t, mesh.UserOperator)
	want := func(when string, n int) {
		t.Helper()
		if got := replicasOf(t, operator); !slices.Equal(got, []int{n}) {
			t.Fatalf("%s: streams and durables with %v replicas, want %d", when, got, n)
		}
	}
	want("after migrate", 3)

	running := serveWith(t, unset, "run", "--actors", "auth", "--gateway", "--http", "127.0.0.1:0")
	want("while run runs", 3)
	cluster.Stop(0)
	actortest.Eventually(t, "an account is registered while a server is down", func() bool {
		return post(t, running.ready.HTTP+"/v1/auth/register", `{"email":"ada@example.com","password":"Test123!@#"}`) == http.StatusAccepted
	})
	cluster.Start(t, 0)
	code, log := running.stop()
	if code != 0 || !strings.Contains(log, `"name":"EVENTS","setting":"replicas","is":"3","expected":"1"`) {
		t.Errorf("run exited with %d and does not report replicas: %s", code, log)
	}

	if got := weft(t, "", "migrate", "--streams-only", "--config", unset); got.code != 0 || !strings.Contains(got.stdout, "replicas stays 3, expected 1: lowering it needs --lower replicas") {
		t.Errorf("migrating without replicas: %+v", got)
	}
	want("after a migration without replicas", 3)
	if got := weft(t, "", "migrate", "--dry-run", "--lower", "replicas", "--config", unset); got.code != exitPending || !strings.Contains(got.stdout, "replicas: 3 -> 1") {
		t.Errorf("a dry run: %+v", got)
	}
	want("after a dry run", 3)
	if got := weft(t, "", "migrate", "--streams-only", "--lower", "replicas", "--config", unset); got.code != 0 {
		t.Errorf("lowering replicas: %+v", got)
	}
	want("after lowering", 1)
	if got := weft(t, "", "migrate", "--streams-only", "--config", three); got.code != 0 {
		t.Errorf("raising replicas: %+v", got)
	}
	want("after raising", 3)
	if got := weft(t, "", "migrate", "--dry-run", "--config", three); got.code != 0 || !strings.Contains(got.stdout, "0 to create, 0 to change, 0 kept") {
		t.Errorf("a dry run with nothing to do: %+v", got)
	}
	checkBalance(t, cluster, three)
}

// checkBalance restarts a server, which leads nothing then, and spreads the leaders.
func checkBalance(t *testing.T, cluster *actortest.Cluster, config string) {
	t.Helper()
	cluster.Stop(1)
	cluster.Start(t, 1)
	actortest.Eventually(t, "the restarted server has every stream", func() bool {
		got := weft(t, "", "nats-balance", "--dry-run", "--config", config)
		return got.code == exitPending && !strings.Contains(got.stdout, "lags behind") && strings.Contains(got.stdout, "n2 leads 0 streams")
	})
	if got := weft(t, "", "nats-balance", "--config", config); got.code != 0 || !strings.Contains(got.stdout, " to n2") {
		t.Errorf("balancing: %+v", got)
	}
	if got := weft(t, "", "nats-balance", "--dry-run", "--config", config); got.code != 0 || !strings.Contains(got.stdout, "The leaders are spread evenly") {
		t.Errorf("a dry run after balancing: %+v", got)
	}
}

// post returns the status of a POST of JSON; 0 if there is no answer.
func post(t *testing.T, url, body string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		if errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}
