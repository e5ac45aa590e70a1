package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rogpeppe/go-internal/testscript"
)

// dialNATS connects as a NATS user with a plain NATS client, as the nats CLI does.
func dialNATS(url, keys, user string, options ...nats.Option) (*nats.Conn, error) {
	option, err := nats.NkeyOptionFromSeed(filepath.Join(keys, user+".nk"))
	if err != nil {
		return nil, fmt.Errorf("reading a key: %w", err)
	}
	options = append([]nats.Option{option, nats.CustomInboxPrefix("_INBOX_" + user)}, options...)
	conn, err := nats.Connect(url, options...)
	if err != nil {
		return nil, fmt.Errorf("connecting as %s: %w", user, err)
	}
	return conn, nil
}

// connectAs connects to a running weft as a NATS user until the test ends.
func connectAs(t testing.TB, r *running, user string, options ...nats.Option) *nats.Conn {
	t.Helper()
	conn, err := dialNATS(r.ready.NATS, filepath.Join(r.ready.Data, "nats", "keys"), user, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// natsRequest makes a request as `nats req` does, with the access token unless it is empty. The status is 200 or that of the
// problem document in the reply.
func natsRequest(conn *nats.Conn, subject, token string, data []byte, headers ...string) (answer, error) {
	m := nats.NewMsg(subject)
	m.Data = data
	if token != "" {
		m.Header.Set("Authorization", "Bearer "+token)
	}
	for _, h := range headers {
		if name, value, ok := strings.Cut(h, ":"); ok {
			m.Header.Set(name, strings.TrimSpace(value))
		}
	}
	reply, err := conn.RequestMsg(m, waitTimeout)
	if err != nil {
		return answer{}, fmt.Errorf("requesting %s: %w", subject, err)
	}
	a := answer{status: 200, body: reply.Data}
	if reply.Header.Get("Nats-Service-Error-Code") == "" {
		return a, nil
	}
	if _, err := fmt.Sscan(a.text(".status"), &a.status); err != nil {
		return a, fmt.Errorf("decoding the problem document %s: %w", a.body, err)
	}
	return a, nil
}

// requestCommand: request STATUS SUBJECT [BODY] makes a NATS request as the operator.
func requestCommand(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "request STATUS SUBJECT [BODY]")
	conn, err := dialNATS(ts.Getenv("NATS"), ts.Getenv("KEYS"), "operator")
	ts.Check(err)
	defer conn.Close()
	var data []byte
	if len(args) > 2 {
		data, _ = body(ts, args[2])
	}
	a, err := natsRequest(conn, args[1], ts.Getenv("TOKEN"), data)
	ts.Check(err)
	storyOf(ts).keep(ts, a)
	if fmt.Sprint(a.status) != args[0] {
		ts.Fatalf("%s: got %s, want %s", args[1], a, args[0])
	}
}

// servicesCommand: services FILE connects with a context file of the nats CLI, requests $SRV.INFO and keeps the responses as
// {"<service>": {…}}.
func servicesCommand(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "services FILE")
	context := answer{body: []byte(ts.ReadFile(args[0]))}
	option, err := nats.NkeyOptionFromSeed(context.text(".nkey"))
	ts.Check(err)
	conn, err := nats.Connect(context.text(".url"), option, nats.CustomInboxPrefix(context.text(".inbox_prefix")))
	ts.Check(err)
	defer conn.Close()
	infos, err := serviceInfos(conn, 5)
	ts.Check(err)
	data, err := json.Marshal(infos)
	ts.Check(err)
	storyOf(ts).keep(ts, answer{status: http.StatusOK, body: data})
}

// serviceInfos requests $SRV.INFO until count services have responded, and returns the responses by service name.
func serviceInfos(conn *nats.Conn, count int) (map[string]json.RawMessage, error) {
	sub, err := conn.SubscribeSync(conn.NewInbox())
	if err != nil {
		return nil, fmt.Errorf("subscribing: %w", err)
	}
	infos := map[string]json.RawMessage{}
	return infos, eventually(func() (bool, string) {
		if err := conn.PublishRequest("$SRV.INFO", sub.Subject, nil); err != nil {
			return false, err.Error()
		}
		for len(infos) < count {
			m, err := sub.NextMsg(time.Second)
			if err != nil {
				return false, fmt.Sprintf("%d services: %v", len(infos), err)
			}
			infos[answer{body: m.Data}.text(".name")] = m.Data
		}
		return true, ""
	})
}
