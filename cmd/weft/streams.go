package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/mesh"
)

// reportWithin bounds how long a process compares streams after its start.
const reportWithin = 30 * time.Second

// asMigrate calls f with a connection of the NATS user migrate.
func (p *process) asMigrate(ctx context.Context, f func(*mesh.Conn) error) (err error) {
	options, err := p.options(mesh.UserMigrate)
	if err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok {
		options.Wait = time.Until(deadline)
	}
	conn, err := mesh.Connect(ctx, options)
	if err != nil {
		return err
	}
	defer conn.Close()
	return f(conn)
}

// createMissing creates the streams, buckets and durables that the embedded server lacks, and logs how existing ones differ.
func (p *process) createMissing(ctx context.Context) error {
	return p.asMigrate(ctx, func(conn *mesh.Conn) error {
		plan, err := mesh.Compare(ctx, conn.JS, mesh.Target{Replicas: p.config.NATS.Replicas})
		if err == nil {
			err = plan.ApplyMissing(ctx)
		}
		if err == nil {
			err = p.publishUsers(ctx, conn.JS)
		}
		if err != nil {
			// A request without permission times out; the server reports the reason asynchronously.
			return errors.Join(err, conn.LastError())
		}
		plan.Changes = slices.DeleteFunc(plan.Changes, func(c mesh.Change) bool { return c.Action == mesh.ActionCreate })
		plan.Report(p.telemetry.Log)
		return nil
	})
}

// reportDifferences logs how streams, buckets and the users' durables differ from what this version and nats.replicas say. It runs
// beside the start of the process and never fails it. The returned channel is closed when it is done.
func (p *process) reportDifferences(ctx context.Context, users []string) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(ctx, reportWithin)
		defer cancel()
		for i, user := range users {
			if err := p.reportAs(ctx, user, i == 0); err != nil && ctx.Err() == nil {
				p.telemetry.Log.Warn("JetStream's streams could not be compared with what weft expects", zap.String("user", user), zap.Error(err))
			}
		}
	}()
	return done
}

func (p *process) reportAs(ctx context.Context, user string, streams bool) error {
	conn, err := p.connect(ctx, user)
	if err != nil {
		return err
	}
	defer conn.Close()
	plan, err := mesh.CompareAs(ctx, conn, streams, mesh.Target{Replicas: p.config.NATS.Replicas})
	if err != nil {
		return err
	}
	plan.Report(p.telemetry.Log)
	return nil
}

// streamMigration is the part of `weft migrate` that concerns NATS.
type streamMigration struct {
	dryRun bool
	lower  []string
	wait   time.Duration
}

// check returns a usage error for settings that cannot be lowered.
func (m streamMigration) check() error {
	for _, name := range m.lower {
		if known := mesh.LowerableSettings(); !slices.Contains(known, name) {
			return usageError{fmt.Errorf("--lower: unknown setting %q, want one of %s", name, strings.Join(known, ", "))}
		}
	}
	if m.wait <= 0 {
		return usageError{fmt.Errorf("--wait: %s is not positive", m.wait)}
	}
	return nil
}

// migrateStreams brings streams, buckets and durables to what this version expects, or prints how they differ.
func (p *process) migrateStreams(ctx context.Context, m streamMigration, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, m.wait)
	defer cancel()
	say := func(waitingFor string) { _, _ = fmt.Fprintf(out, "NATS: waiting for %s\n", waitingFor) }
	target := mesh.Target{Replicas: p.config.NATS.Replicas, Lower: m.lower}
	err := p.asMigrate(ctx, func(conn *mesh.Conn) error {
		if err := mesh.AwaitJetStream(ctx, conn, say); err != nil {
			return err
		}
		if m.dryRun {
			plan, err := mesh.Compare(ctx, conn.JS, target)
			if err != nil {
				return err
			}
			return printDryRun(out, plan)
		}
		if err := mesh.Migrate(ctx, conn, target, say, func(plan mesh.Plan) { printPlan(out, plan) }); err != nil {
			return err
		}
		if err := p.publishUsers(ctx, conn.JS); err != nil {
			return err
		}
		if err := mesh.AwaitReplicas(ctx, conn, say); err != nil {
			if ctx.Err() == nil {
				return err
			}
			_, _ = fmt.Fprintf(out, "NATS: the servers are still copying, and go on without this command: %v\n", err)
		}
		_, err := fmt.Fprintln(out, "NATS: streams, buckets and durables are up to date")
		return err
	})
	if err != nil && ctx.Err() != nil && !errors.As(err, new(pendingError)) {
		return fmt.Errorf("%w (--wait %s)", err, m.wait)
	}
	return err
}

// printPlan prints what a migration changes and what it keeps, a line for each object and each setting.
func printPlan(out io.Writer, plan mesh.Plan) {
	for _, c := range plan.Changes {
		_, _ = fmt.Fprintf(out, "%-8s %s %s\n", c.Action, c.Kind, c.Name)
		for _, d := range c.Differences {
			switch {
			case d.Kept != "":
				_, _ = fmt.Fprintf(out, "           %s stays %s, expected %s: %s\n", d.Setting, d.Is, d.Want, d.Kept)
			default:
				_, _ = fmt.Fprintf(out, "           %s: %s -> %s\n", d.Setting, d.Is, d.Want)
			}
		}
	}
}

// printDryRun prints a plan and returns a pendingError if applying it would change something.
func printDryRun(out io.Writer, plan mesh.Plan) error {
	printPlan(out, plan)
	pending := plan.Pending()
	_, err := fmt.Fprintf(out, "NATS: %d to create, %d to change, %d kept as they are\n",
		plan.Count(mesh.ActionCreate), plan.Count(mesh.ActionUpdate, mesh.ActionRecreate), plan.Count(mesh.ActionKeep))
	if err == nil && pending > 0 {
		return pendingError{fmt.Errorf("a migration would change %d streams, buckets and durables", pending)}
	}
	return err
}

// pendingError reports what a dry run has found. The exit code is exitPending.
type pendingError struct{ error }
