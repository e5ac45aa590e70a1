package extension

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// askWithin bounds the wait for the copies of an extension, askQuiet the wait for another one after each, and askSettled that once as
	// many have answered as the last time.
	askWithin  = time.Second
	askQuiet   = 200 * time.Millisecond
	askSettled = 20 * time.Millisecond
	// askedBytes bounds what all copies answer together that is not read yet.
	askedBytes = 8 << 20
)

// ask asks the copies of an extension for their endpoints. Only the subject of its own name is asked, which the server lets no other
// extension receive. before is how many copies answered the last time. more: there are more copies than are read. None answers: the extension
// is down.
func ask(ctx context.Context, conn *mesh.Conn, name string, before int) (copies []copyInfo, more bool, err error) {
	inbox, err := newInbox(conn, name, 2*MaxCopies, askedBytes)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = inbox.Unsubscribe() }()
	if err := conn.PublishRequest(subjects.ServiceInfo(name), inbox.Subject, nil); err != nil {
		return nil, false, fmt.Errorf("asking the extension %s: %w", name, err)
	}
	all, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	seen := map[string]bool{}
	for wait := askWithin; ; wait = askQuiet {
		if before > 0 && len(copies) >= before {
			wait = askSettled
		}
		quiet, done := context.WithTimeout(all, wait)
		m, err := inbox.NextMsgWithContext(quiet)
		done()
		switch {
		case ctx.Err() != nil:
			return nil, false, ctx.Err()
		case errors.Is(err, nats.ErrNoResponders), errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrSlowConsumer):
			return copies, more, nil
		case err != nil:
			return nil, false, fmt.Errorf("asking the extension %s: %w", name, err)
		case isNoResponders(m):
			return copies, false, nil
		}
		var info copyInfo
		if m.Header.Get(mesh.HeaderStream) != "" || json.Unmarshal(m.Data, &info) != nil || info.Type != infoType || info.Name != name || seen[info.ID] {
			continue
		}
		if len(copies) == MaxCopies {
			return copies, true, nil
		}
		seen[info.ID] = true
		copies = append(copies, info)
	}
}

// newInbox subscribes to a new inbox for answers of an extension, with bounds for the messages that are not read yet.
func newInbox(conn *mesh.Conn, name string, messages, bytes int) (*nats.Subscription, error) {
	sub, err := conn.SubscribeSync(mesh.FunctionInbox(name) + "." + nuid.Next())
	if err == nil {
		err = sub.SetPendingLimits(messages, bytes)
	}
	if err != nil {
		return nil, fmt.Errorf("subscribing to answers of the extension %s: %w", name, err)
	}
	return sub, nil
}

// isNoResponders reports whether the server says that nobody receives a request.
func isNoResponders(m *nats.Msg) bool {
	return len(m.Data) == 0 && m.Header.Get("Status") == "503"
}
