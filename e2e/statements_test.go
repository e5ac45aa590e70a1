package e2e_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

// measureBackground returns how many statements a second an idle weft takes.
func measureBackground(t *testing.T, weft *running) float64 {
	t.Helper()
	from, before := time.Now(), countStatements(t, weft)
	<-time.After(2 * time.Second) // the time that is measured
	return (countStatements(t, weft)[0] - before[0]) / time.Since(from).Seconds()
}

// countStatements returns the statements and the transactions so far.
func countStatements(t *testing.T, weft *running) [2]float64 {
	t.Helper()
	return [2]float64{scrape(t, weft, "weft_statements_total"), scrape(t, weft, "weft_transactions_total")}
}

// TestStatementsOfOperations counts the SQL statements and the transactions of the most frequent operations on PostgreSQL, where each costs a round
// trip: a read, an execution of three steps, an action, a notification and a sign-in, once their caches are warm. It fails where one of them
// needs one statement more. Reads, executions and actions need none of their own.
func TestStatementsOfOperations(t *testing.T) {
	for _, kind := range actortest.Databases(t) {
		if kind.Name != "postgres" {
			continue
		}
		weft := startWeft(t, t.TempDir(), "WEFT_DATABASE_URL="+postgresSchemas(t, kind), "WEFT_GATEWAY_LIMITS_ENABLED=false", "WEFT_LOG_LEVEL=warn")
		c, _ := signUp(t, weft.ready.HTTP)
		credentials := map[string]any{"email": c.must(t, http.StatusOK, "GET", "/v1/users/me", nil).text(".email"), "password": password}
		c.grant(t, subjects.ScopeIntegrationsExecute, subjects.ScopeWorkflowsExecute)
		connection := startStubProvider(t, nil).connect(t, c, "shop")
		workflow := c.must(t, http.StatusCreated, "POST", "/v1/workflows", map[string]any{"definition": threeEchoes}).text(".id")
		backgroundRate := measureBackground(t, weft)
		for _, operation := range []struct {
			name  string
			count int
			do    func(n int)
			// statements and transactions are the most that one operation may take.
			statements, transactions float64
		}{
			{"a read", 300, func(int) { c.must(t, http.StatusOK, "GET", "/v1/users/me", nil) }, 0.9, 0.9},
			{"an execution", 300, func(int) { c.must(t, http.StatusOK, "POST", "/v1/workflows/"+workflow+"/execute", map[string]any{}) }, 1.1, 0.9},
			{"an action", 100, func(n int) {
				c.must(t, http.StatusOK, "POST", "/v1/integrations/"+connection+"/actions/get", map[string]any{"input": map[string]any{"path": fmt.Sprint("/", n)}})
			}, 1.4, 0.9},
			{"a notification", 100, func(n int) {
				c.must(t, http.StatusAccepted, "POST", "/v1/notifications", map[string]any{"category": "system", "subject": fmt.Sprint(n)})
			}, 11.4, 1.9},
			{"a sign-in", 10, func(int) { c.must(t, http.StatusOK, "POST", "/v1/auth/login", credentials) }, 10.2, 1.9},
		} {
			for n := range 5 {
				operation.do(-n)
			}
			exceeded := true
			for round := 0; exceeded && round < 3; round++ { // a busy machine publishes in smaller batches, which takes more
				from, before := time.Now(), countStatements(t, weft)
				for n := range operation.count {
					operation.do(round*operation.count + n)
				}
				after, background := countStatements(t, weft), backgroundRate*time.Since(from).Seconds()
				statements := max(0, after[0]-before[0]-background) / float64(operation.count)
				transactions := (after[1] - before[1]) / float64(operation.count)
				t.Logf("%s: %.2f statements, %.2f transactions", operation.name, statements, transactions)
				exceeded = statements > operation.statements || transactions > operation.transactions
			}
			if exceeded {
				t.Errorf("%s takes more than %.2f statements or %.2f transactions, three times", operation.name, operation.statements, operation.transactions)
			}
		}
	}
}
