package mesh

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// Target is what streams, buckets and durables are compared with, beside what the contract says.
type Target struct {
	// Replicas is the number of replicas of each stream and durable: 1 on a single server, 3 or 5 on a cluster.
	Replicas int
	// Lower names the settings that a migration may lower, from LowerableSettings. All others are only raised.
	Lower []string
}

// Action is what a migration does to a stream or durable.
type Action string

// The actions.
const (
	ActionCreate Action = "create"
	ActionUpdate Action = "update"
	// ActionRecreate deletes and creates a volatile bucket, whose storage cannot be changed. Its contents are lost.
	ActionRecreate Action = "recreate"
	// ActionKeep changes nothing: each difference says why.
	ActionKeep Action = "keep"
)

// Difference is one setting that is not what weft expects.
type Difference struct {
	// Setting is its name in JetStream's configuration, such as max_age.
	Setting string
	// Is and Want are the values, as text.
	Is, Want string
	// Kept says why a migration leaves the setting as it is; empty if it changes it.
	Kept string
}

// Change is a stream, bucket, object store or durable that differs from what weft expects.
type Change struct {
	// Kind is stream, bucket, "object store" or durable; Name is its name, of a durable STREAM/DURABLE.
	Kind, Name string
	Action     Action
	// Differences are the settings that differ; none for ActionCreate.
	Differences []Difference

	apply func(context.Context) error
}

// Plan is the difference between the streams, buckets and durables that weft needs and those that exist.
type Plan struct{ Changes []Change }

// Compare compares every stream, bucket, object store and durable with what weft needs, as the NATS user migrate. It changes nothing.
func Compare(ctx context.Context, js jetstream.JetStream, t Target) (Plan, error) {
	var plan Plan
	replicas := map[string]int{}
	for _, r := range requiredStreams() {
		is, err := streamConfigOf(ctx, js, r.stream)
		if err != nil {
			return Plan{}, fmt.Errorf("reading %s %s: %w", r.kind, r.name, err)
		}
		var change Change
		change, replicas[r.stream] = r.compare(js, is, t)
		plan.add(change)
	}
	for _, c := range subjects.Consumers() {
		is, err := consumerConfigOf(ctx, js, c)
		if err != nil {
			return Plan{}, fmt.Errorf("reading durable %s/%s: %w", c.Stream, c.Durable, err)
		}
		plan.add(compareConsumer(js, c, is, replicas[c.Stream]))
	}
	return plan, nil
}

// add adds a change unless nothing differs.
func (p *Plan) add(c Change) {
	if c.Action != "" {
		p.Changes = append(p.Changes, c)
	}
}

// Count returns how many changes have one of the actions.
func (p Plan) Count(actions ...Action) (n int) {
	for _, c := range p.Changes {
		for _, a := range actions {
			if c.Action == a {
				n++
			}
		}
	}
	return n
}

// Pending returns how many streams and durables Apply would change.
func (p Plan) Pending() int { return p.Count(ActionCreate, ActionUpdate, ActionRecreate) }

// Apply makes every change of the plan except those of ActionKeep. Only `weft migrate` calls it.
func (p Plan) Apply(ctx context.Context) error { return p.run(ctx, func(Change) bool { return true }) }

// ApplyMissing creates what does not exist and changes nothing that does.
func (p Plan) ApplyMissing(ctx context.Context) error {
	return p.run(ctx, func(c Change) bool { return c.Action == ActionCreate })
}

func (p Plan) run(ctx context.Context, wanted func(Change) bool) error {
	for _, c := range p.Changes {
		if c.apply == nil || !wanted(c) {
			continue
		}
		if err := c.apply(ctx); err != nil {
			return fmt.Errorf("%s %s %s: %w", c.Action.doing(), c.Kind, c.Name, kv.ExplainStorage(err))
		}
	}
	return nil
}

func (a Action) doing() string {
	switch a {
	case ActionCreate:
		return "creating"
	case ActionRecreate:
		return "recreating"
	}
	return "updating"
}

// compare returns how a stream differs, and how many replicas it has after a migration. It takes nil if the stream does not exist.
func (r required) compare(js jetstream.JetStream, is *jetstream.StreamConfig, t Target) (Change, int) {
	change := Change{Kind: r.kind, Name: r.name}
	if is == nil {
		change.Action = ActionCreate
		change.apply = func(ctx context.Context) error {
			_, err := js.CreateStream(ctx, r.configure(jetstream.StreamConfig{}, t.Replicas))
			return err
		}
		return change, t.Replicas
	}
	want := r.configure(*is, t.Replicas)
	if replicasSetting.refuses(is, &want, t.Lower) {
		// The number of replicas decides how a volatile bucket is stored, so what is kept is compared as it is.
		change.Differences = append(change.Differences, replicasSetting.difference(is, &want, keptLower(replicasSetting.name)))
		want = r.configure(*is, is.Replicas)
	}
	recreate := r.volatile && (is.Storage != want.Storage || is.PersistMode != want.PersistMode)
	for _, s := range streamSettings {
		if s.equal(is, &want) {
			continue
		}
		kept := ""
		switch {
		case !recreate && s.fixed != nil && s.fixed(is, &want):
			kept = "the server cannot change it: back the stream up, delete it, and migrate"
		case s.refuses(is, &want, t.Lower):
			kept = keptLower(s.name)
		}
		change.Differences = append(change.Differences, s.difference(is, &want, kept))
		if kept == "" {
			continue
		}
		if s.keep(&want, is); !s.equal(is, &want) { // subjects are added even if others are kept
			change.Differences = append(change.Differences, s.difference(is, &want, ""))
		}
	}
	change.Action = actionFor(change.Differences, recreate)
	change.apply = r.applier(js, change.Action, want)
	return change, want.Replicas
}

// applier returns the function that makes a change; nil for ActionKeep.
func (r required) applier(js jetstream.JetStream, action Action, want jetstream.StreamConfig) func(context.Context) error {
	switch action {
	case ActionUpdate:
		return func(ctx context.Context) error {
			_, err := js.UpdateStream(ctx, want)
			return err
		}
	case ActionRecreate:
		return func(ctx context.Context) error {
			if err := js.DeleteStream(ctx, r.stream); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
				return err
			}
			_, err := js.CreateStream(ctx, want)
			return err
		}
	}
	return nil
}

// actionFor returns the action of an existing object's differences; empty if there are none.
func actionFor(differences []Difference, recreate bool) Action {
	action := Action("")
	for _, d := range differences {
		switch {
		case d.Kept == "" && recreate:
			return ActionRecreate
		case d.Kept == "":
			return ActionUpdate
		}
		action = ActionKeep
	}
	return action
}

func keptLower(setting string) string { return "lowering it needs --lower " + setting }

// compareConsumer returns how a durable differs. It takes nil if the durable does not exist; replicas is the number of its stream.
func compareConsumer(js jetstream.JetStream, c subjects.Consumer, is *jetstream.ConsumerConfig, replicas int) Change {
	change := Change{Kind: "durable", Name: c.Stream + "/" + c.Durable}
	if is == nil {
		change.Action = ActionCreate
		change.apply = func(ctx context.Context) error {
			_, err := js.CreateConsumer(ctx, c.Stream, configureConsumer(c, jetstream.ConsumerConfig{}, replicas))
			return err
		}
		return change
	}
	want := configureConsumer(c, *is, replicas)
	for _, s := range consumerSettings {
		if s.equal(is, &want) {
			continue
		}
		kept := ""
		if s.fixed != nil && s.fixed(is, &want) {
			kept = "the server cannot change it: delete the durable, and migrate"
			s.keep(&want, is)
		}
		change.Differences = append(change.Differences, s.difference(is, &want, kept))
	}
	if change.Action = actionFor(change.Differences, false); change.Action == ActionUpdate {
		change.apply = func(ctx context.Context) error {
			_, err := js.UpdateConsumer(ctx, c.Stream, want)
			return err
		}
	}
	return change
}

// streamConfigOf returns a stream's configuration, or nil if there is no such stream.
func streamConfigOf(ctx context.Context, js jetstream.JetStream, name string) (*jetstream.StreamConfig, error) {
	stream, err := js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &stream.CachedInfo().Config, nil
}

// consumerConfigOf returns a durable's configuration, or nil if there is no such durable.
func consumerConfigOf(ctx context.Context, js jetstream.JetStream, c subjects.Consumer) (*jetstream.ConsumerConfig, error) {
	consumer, err := js.Consumer(ctx, c.Stream, c.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &consumer.CachedInfo().Config, nil
}
