package e2e_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/weftmesh/weft/actors/actortest/mailsink"
)

// providerCommand: provider … starts the stub provider, holds back its responses, and waits for or counts its calls.
func providerCommand(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "provider REPLIES.json | hold PATH | release PATH | await PATH COUNT | count PATH COUNT")
	s := storyOf(ts)
	if len(args) == 1 {
		var replies map[string]json.RawMessage
		ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &replies))
		texts := map[string]string{}
		for path, reply := range replies {
			texts[path] = string(reply)
		}
		s.shop = startStubProvider(s.t, texts)
		ts.Setenv("SHOP", s.shop.url)
		ts.Setenv("SHOP_KEY", stubProviderKey)
		return
	}
	path := args[1]
	switch args[0] {
	case "hold":
		s.shop.hold(path)
	case "release":
		s.shop.release(path)
	case "await":
		ts.Check(eventually(func() (bool, string) {
			n := s.shop.count(path)
			return strconv.Itoa(n) == args[2], strconv.Itoa(n) + " calls of " + path
		}))
	case "count":
		if n := s.shop.count(path); strconv.Itoa(n) != args[2] {
			ts.Fatalf("%s was called %d times, want %s", path, n, args[2])
		}
	default:
		ts.Fatalf("unknown subcommand %s", args[0])
	}
}

// mailboxCommand: mailbox starts an SMTP server and configures weft to use it.
func mailboxCommand(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 0, "mailbox")
	s := storyOf(ts)
	s.mails = mailsink.Start(s.t)
	ts.Setenv("WEFT_NOTIFICATION_SMTP_HOST", s.mails.Host)
	ts.Setenv("WEFT_NOTIFICATION_SMTP_PORT", strconv.Itoa(s.mails.Port))
	ts.Setenv("WEFT_NOTIFICATION_SMTP_TLS", "none")
}

// mailCommand: mail ADDRESS COUNT PATTERN waits until COUNT messages to the address match.
func mailCommand(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 3, "mail ADDRESS COUNT PATTERN")
	pattern := regexp.MustCompile(args[2])
	ts.Check(eventually(func() (bool, string) {
		n := 0
		mails := storyOf(ts).mails.Mails()
		for _, m := range mails {
			if slices.Contains(m.To, args[0]) && pattern.MatchString(m.Header.Get("Subject")+"\n"+m.Body) {
				n++
			}
		}
		return strconv.Itoa(n) == args[1], strconv.Itoa(n) + " of " + strconv.Itoa(len(mails)) + " messages match"
	}))
}

// followCommand: follow NAME PATH opens a stream; follow NAME resumes it after its last event.
func followCommand(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "follow NAME [PATH]")
	s, c := storyOf(ts), newClient(ts.Getenv("HTTP"))
	c.token = ts.Getenv("TOKEN")
	f := s.streams[args[0]]
	if f == nil {
		f = &followed{}
		s.streams[args[0]] = f
	}
	if len(args) > 1 {
		f.path, f.lastID = args[1], ""
	}
	var err error
	f.eventStream, err = c.follow(f.path, f.lastID)
	ts.Check(err)
}

// unfollowCommand: unfollow NAME closes a stream.
func unfollowCommand(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "unfollow NAME")
	storyOf(ts).streams[args[0]].close()
}

// eventCommand: event NAME EVENT EXPRESSION waits for an event for which the expression holds.
func eventCommand(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 3, "event NAME EVENT EXPRESSION")
	f := storyOf(ts).streams[args[0]]
	e, err := f.await(args[1], args[2])
	ts.Check(err)
	if e.id != "" {
		f.lastID = e.id
	}
	storyOf(ts).keep(ts, answer{status: http.StatusOK, body: e.data})
}
