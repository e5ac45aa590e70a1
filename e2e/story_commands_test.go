package e2e_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/weftmesh/weft/actors/actortest/mailsink"
)

// story is the state of a running script.
type story struct {
	t        testing.TB
	programs map[string]*running
	// order has the names of programs in the order of their start.
	order []string
	// last is the last response, which json, header and save read.
	last answer
	// pending receives the response of http-begin.
	pending chan answer
	shop    *stubProvider
	mails   *mailsink.Sink
	streams map[string]*followed
}

// followed is a stream of server-sent events, with what is needed to resume it.
type followed struct {
	*eventStream
	path, lastID string
}

type storyKey struct{}

// storyOf returns the state of a script.
func storyOf(ts *testscript.TestScript) *story { return ts.Value(storyKey{}).(*story) }

// end closes the streams and kills the programs, in reverse order of their start.
func (s *story) end() {
	for _, f := range s.streams {
		f.close()
	}
	for _, name := range slices.Backward(s.order) {
		if r := s.programs[name]; r != nil {
			r.kill()
			if s.t.Failed() {
				s.t.Log(r.logTail())
			}
		}
	}
}

// command implements a command of the scripts.
type command = func(ts *testscript.TestScript, neg bool, args []string)

// storyCommands has the commands that the scripts have besides those of testscript. testdata/README.md describes them.
func storyCommands() map[string]command {
	return map[string]command{
		"launch": launchCommand, "start": startCommand, "terminate": terminateCommand, "kill9": killCommand, "freeport": freePortCommand,
		"http": httpCommand, "http-begin": httpBeginCommand, "http-end": httpEndCommand, "eventually": eventuallyCommand,
		"json": jsonCommand, "header": headerCommand, "save": saveCommand,
		"request": requestCommand, "services": servicesCommand, "provider": providerCommand, "mailbox": mailboxCommand, "mail": mailCommand,
		"follow": followCommand, "event": eventCommand, "unfollow": unfollowCommand,
	}
}

// need fails the script if a command has fewer than least arguments, or is negated.
func need(ts *testscript.TestScript, neg bool, args []string, least int, usage string) {
	if neg || len(args) < least {
		ts.Fatalf("usage: %s", usage)
	}
}

// environment returns the environment of the script.
func environment(ts *testscript.TestScript) []string {
	ts.Check(ts.Exec("env", "-0"))
	return strings.Split(strings.TrimSuffix(ts.ReadFile("stdout"), "\x00"), "\x00")
}

// startCommand: [!] start NAME [-accepts ADDRESS] PROGRAM ARGUMENTS… starts a program and waits until it is ready.
func startCommand(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, false, args, 2, "[!] start NAME [-accepts ADDRESS] PROGRAM ARGUMENTS…")
	p := program{name: args[0], env: environment(ts), dir: ts.MkAbs(".")}
	args = args[1:]
	if args[0] == "-accepts" {
		p.accepts, args = args[1], args[2:]
	}
	p.path, p.args = binaryOf(ts, args[0]), args[1:]
	r, err := start(p)
	if neg {
		if err == nil {
			r.kill()
			ts.Fatalf("%s has started, and should have failed", p.name)
		}
		_, _ = ts.Stderr().Write([]byte(r.stderr()))
		return
	}
	ts.Check(err)
	storyOf(ts).add(r)
	if r.ready.HTTP != "" {
		ts.Setenv("HTTP", r.ready.HTTP)
	}
	if r.ready.NATS != "" {
		ts.Setenv("NATS", r.ready.NATS)
	}
	if r.ready.Metrics != "" {
		ts.Setenv("METRICS", r.ready.Metrics)
	}
}

func (s *story) add(r *running) {
	s.programs[r.name] = r
	s.order = append(s.order, r.name)
}

// binaryOf builds a program and returns its path.
func binaryOf(ts *testscript.TestScript, name string) string {
	builders := map[string]func() (string, error){"weft": weftBinary, "nats-server": natsServerBinary}
	if builder, ok := builders[name]; ok {
		path, err := builder()
		ts.Check(err)
		return path
	}
	ts.Fatalf("unknown program %s", name)
	return ""
}

// take removes a running program from the story and returns it.
func (s *story) take(ts *testscript.TestScript, name string) *running {
	r := s.programs[name]
	if r == nil {
		ts.Fatalf("%s is not running", name)
	}
	delete(s.programs, name)
	return r
}

// terminateCommand: terminate NAME… sends SIGTERM; each program must exit with 0.
func terminateCommand(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "terminate NAME…")
	for _, name := range args {
		ts.Check(storyOf(ts).take(ts, name).stop())
	}
}

// killCommand: kill9 NAME… sends SIGKILL.
func killCommand(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "kill9 NAME…")
	for _, name := range args {
		storyOf(ts).take(ts, name).kill()
	}
}

// freePortCommand: freeport VARIABLE sets a variable to a free address.
func freePortCommand(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "freeport VARIABLE")
	ts.Setenv(args[0], freePort(storyOf(ts).t))
}

// placeholder is {{NAME}} in a request's body; the value of the variable replaces it.
var placeholder = regexp.MustCompile(`\{\{([A-Za-z_0-9]+)\}\}`)

// body returns text, or the file that it names, with placeholders replaced, and its content type.
func body(ts *testscript.TestScript, text string) (data []byte, contentType string) {
	contentType = "application/json"
	if !strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "[") && text != "" {
		if filepath.Ext(text) == ".yaml" {
			contentType = "application/yaml"
		}
		text = ts.ReadFile(text)
	}
	return []byte(placeholder.ReplaceAllStringFunc(text, func(m string) string {
		return ts.Getenv(strings.Trim(m, "{}"))
	})), contentType
}

// call parses [-H 'Name: value']… METHOD PATH [BODY] and returns a function that makes the request.
func call(ts *testscript.TestScript, args []string) func() (answer, error) {
	var headers []string
	for len(args) > 1 && args[0] == "-H" {
		headers, args = append(headers, args[1]), args[2:]
	}
	if len(args) < 2 {
		ts.Fatalf("method and path are missing in %q", args)
	}
	var data []byte
	if len(args) > 2 {
		var contentType string
		data, contentType = body(ts, args[2])
		headers = append([]string{"Content-Type: " + contentType}, headers...)
	}
	c := newClient(ts.Getenv("HTTP"))
	c.token = ts.Getenv("TOKEN")
	return func() (answer, error) { return c.do(context.Background(), args[0], args[1], data, headers...) }
}

// httpCommand: http STATUS [-H 'Name: value']… METHOD PATH [BODY] makes a request, whose response must have the status.
func httpCommand(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 3, "http STATUS [-H 'Name: value']… METHOD PATH [BODY]")
	a, err := call(ts, args[1:])()
	ts.Check(err)
	storyOf(ts).keep(ts, a)
	if strconv.Itoa(a.status) != args[0] {
		ts.Fatalf("%s: got %s, want %s", strings.Join(args[1:], " "), a, args[0])
	}
}

// keep stores a response as the last one.
func (s *story) keep(ts *testscript.TestScript, a answer) {
	s.last = a
	ts.Logf("%s", a)
}

// httpBeginCommand: http-begin METHOD PATH [BODY] sends a request without waiting for the response.
func httpBeginCommand(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "http-begin METHOD PATH [BODY]")
	do, pending := call(ts, args), make(chan answer, 1)
	storyOf(ts).pending = pending
	go func() {
		a, err := do()
		if err != nil {
			a = answer{body: []byte(strconv.Quote(err.Error()))}
		}
		pending <- a
	}()
}

// httpEndCommand: http-end STATUS waits for the response to http-begin; status 0 is a broken connection.
func httpEndCommand(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "http-end STATUS")
	s := storyOf(ts)
	select {
	case a := <-s.pending:
		s.keep(ts, a)
		if strconv.Itoa(a.status) != args[0] {
			ts.Fatalf("the response is %s, want %s", a, args[0])
		}
	case <-time.After(waitTimeout):
		ts.Fatalf("no response within %s", waitTimeout)
	}
}

// eventuallyCommand: eventually PATH EXPRESSION polls until the response has status 200 and the expression holds.
func eventuallyCommand(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "eventually PATH EXPRESSION")
	do := call(ts, []string{http.MethodGet, args[0]})
	var a answer
	ts.Check(eventually(func() (bool, string) {
		var err error
		if a, err = do(); err != nil {
			return false, err.Error()
		}
		if a.status != http.StatusOK {
			return false, a.String()
		}
		holds, err := a.holds(args[1])
		if err != nil {
			return false, err.Error()
		}
		return holds, a.String()
	}))
	storyOf(ts).keep(ts, a)
}

// jsonCommand: [!] json EXPRESSION checks a jq expression on the last response.
func jsonCommand(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, false, args, 1, "[!] json EXPRESSION")
	holds, err := storyOf(ts).last.holds(args[0])
	ts.Check(err)
	if holds == neg {
		ts.Fatalf("%s is %v for %s", args[0], holds, storyOf(ts).last)
	}
}

// headerCommand: [!] header NAME PATTERN checks a header of the last response.
func headerCommand(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, false, args, 2, "[!] header NAME PATTERN")
	value := storyOf(ts).last.header.Get(args[0])
	if regexp.MustCompile(args[1]).MatchString(value) == neg {
		ts.Fatalf("%s is %q", args[0], value)
	}
}

// saveCommand: save VARIABLE EXPRESSION, or save VARIABLE -header NAME, stores a value of the last response.
func saveCommand(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "save VARIABLE EXPRESSION | save VARIABLE -header NAME")
	s, value := storyOf(ts), ""
	if args[1] == "-header" {
		value = s.last.header.Get(args[2])
	} else {
		v, err := s.last.query(args[1])
		ts.Check(err)
		if v != nil {
			value = asText(v)
		}
	}
	if value == "" {
		ts.Fatalf("%s is empty in %s", strings.Join(args[1:], " "), s.last)
	}
	ts.Setenv(args[0], value)
}

// launchCommand: launch starts weft as one process or, if SHAPE is six, as six processes and a NATS server.
func launchCommand(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 0, "launch")
	ts.Setenv("WEFT_METRICS_PORT", "-1")
	data := ts.MkAbs("data")
	if ts.Getenv("SHAPE") != "six" {
		ts.Setenv("KEYS", filepath.Join(data, "nats", "keys"))
		startCommand(ts, false, []string{
			"weft", "weft", "up", "--dev", "--data", data, "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0", "--json",
		})
		return
	}
	ts.Setenv("WEFT_EGRESS_ALLOW", "127.0.0.0/8")
	ts.Setenv("WEFT_EGRESS_ALLOW_HTTP", "true")
	dir, address := ts.MkAbs("nats"), freePort(storyOf(ts).t)
	keys := filepath.Join(dir, "keys")
	ts.Setenv("KEYS", keys)
	ts.Check(ts.Exec(binaryOf(ts, "weft"), "nats-init", "--listen", address, dir))
	startCommand(ts, false, []string{"nats", "-accepts", address, "nats-server", "-c", filepath.Join(dir, "nats.conf")})
	ts.Setenv("WEFT_NATS_URL", "nats://"+address)
	ts.Check(ts.Exec(binaryOf(ts, "weft"), "migrate", "--keys", keys, "--data", data))
	// Each process gets a directory with its own key only.
	for _, user := range []string{"auth", "integration", "workflow", "consent", "notification", "gateway"} {
		own := filepath.Join(dir, "only", user)
		ts.Check(os.MkdirAll(own, 0o700))
		ts.Check(os.WriteFile(filepath.Join(own, user+".nk"), []byte(ts.ReadFile(filepath.Join(keys, user+".nk"))), 0o600))
		role := []string{"--actors", user}
		if user == "gateway" {
			role = []string{"--gateway", "--http", "127.0.0.1:0"}
		}
		startCommand(ts, false, append([]string{user, "weft", "run", "--keys", own, "--data", data, "--json"}, role...))
	}
}
