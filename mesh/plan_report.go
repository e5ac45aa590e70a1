package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/subjects"
)

// CompareAs compares as the NATS user of conn, which need not be migrate: all streams if streams is set, and the durables that the
// user owns. Its plan is for reporting and cannot be applied.
func CompareAs(ctx context.Context, conn *Conn, streams bool, t Target) (Plan, error) {
	var plan Plan
	existing, err := listStreams(ctx, conn)
	if err != nil {
		return Plan{}, fmt.Errorf("listing the streams: %w", err)
	}
	replicas := map[string]int{}
	for _, r := range requiredStreams() {
		is, known := existing[r.stream]
		if known && is == nil {
			continue // its leader does not answer
		}
		change, n := r.compare(conn.JS, is, t)
		replicas[r.stream] = n
		if streams {
			plan.add(change)
		}
	}
	for _, c := range subjects.Consumers() {
		n, known := replicas[c.Stream]
		if c.Owner != conn.User || !known {
			continue
		}
		is, err := consumerConfigOf(ctx, conn.JS, c)
		if err != nil {
			return Plan{}, fmt.Errorf("reading durable %s/%s: %w", c.Stream, c.Durable, err)
		}
		plan.add(compareConsumer(conn.JS, c, is, n))
	}
	for i := range plan.Changes {
		plan.Changes[i].apply = nil
	}
	return plan, nil
}

// streamPage is one page of the server's list of streams.
type streamPage struct {
	Streams []struct {
		Config *jetstream.StreamConfig `json:"config"`
	} `json:"streams"`
	// Missing are streams of a cluster whose leader has not answered.
	Missing []string            `json:"missing"`
	Total   int                 `json:"total"`
	Error   *jetstream.APIError `json:"error"`
}

// listStreams returns the configuration of every stream by name; nil for one whose leader does not answer.
func listStreams(ctx context.Context, conn *Conn) (map[string]*jetstream.StreamConfig, error) {
	streams := map[string]*jetstream.StreamConfig{}
	for offset := 0; ; {
		reply, err := conn.RequestWithContext(ctx, streamListSubject, fmt.Appendf(nil, `{"offset":%d}`, offset))
		if err != nil {
			return nil, errors.Join(err, conn.LastError())
		}
		var page streamPage
		if err := json.Unmarshal(reply.Data, &page); err != nil {
			return nil, fmt.Errorf("decoding the server's answer: %w", err)
		}
		if page.Error != nil {
			return nil, page.Error
		}
		for _, s := range page.Streams {
			if s.Config != nil {
				streams[s.Config.Name] = s.Config
			}
		}
		for _, name := range page.Missing {
			streams[name] = nil
		}
		if offset += len(page.Streams); len(page.Streams) == 0 || offset >= page.Total {
			return streams, nil
		}
	}
}

// Report writes a log line for each difference of the plan.
func (p Plan) Report(log *zap.Logger) {
	const remedy = "`weft migrate --dry-run` shows what a migration changes"
	for _, c := range p.Changes {
		if c.Action == ActionCreate {
			log.Warn("JetStream lacks what weft needs", zap.String("kind", c.Kind), zap.String("name", c.Name), zap.String("remedy", remedy))
		}
		for _, d := range c.Differences {
			log.Warn("JetStream differs from what weft expects", zap.String("kind", c.Kind), zap.String("name", c.Name),
				zap.String("setting", d.Setting), zap.String("is", d.Is), zap.String("expected", d.Want), zap.String("remedy", remedy))
		}
	}
}
