package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/micro"
	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/edge"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
)

// statusWithin bounds the wait for an edge node's answer.
const statusWithin = 3 * time.Second

func edgeStatusCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the state of the edge node on this machine",
		Long: "Asks the running edge node for its hub, connection, lease, outbox and clock, over its own NATS server. " +
			"`nats micro stats edge` shows the same.\n\nExit codes: 0 connected to the hub, 1 not connected, or no answer.",
		Example: "  weft edge status --data /var/lib/weft-edge\n  weft edge status --json",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := commandConfig(cmd)
			if err != nil {
				return err
			}
			config.NATS.URL = cmp.Or(embedded.URL(filepath.Join(config.Data, "nats")), config.NATS.URL)
			p, err := newProcess(cmd.Context(), config, "edge-status", cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer p.close()
			status, err := p.edgeStatus(cmd)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), status)
			} else {
				err = printStatus(cmd.OutOrStdout(), status)
			}
			if err == nil && !status.Linked {
				err = fmt.Errorf("%s is not connected to its hub", status.Name)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	addNATSFlags(cmd)
	addDataFlag(cmd)
	return cmd
}

// edgeStatus reads the statistics of the edge's service as the operator.
func (p *process) edgeStatus(cmd *cobra.Command) (edge.Status, error) {
	options, err := p.options(mesh.UserOperator)
	if err != nil {
		return edge.Status{}, err
	}
	options.Wait = statusWithin
	conn, err := mesh.Connect(cmd.Context(), options)
	if err != nil {
		return edge.Status{}, err
	}
	defer conn.Close()
	subject, err := micro.ControlSubject(micro.StatsVerb, edge.ServiceName, "")
	if err != nil {
		return edge.Status{}, err
	}
	reply, err := conn.Request(subject, nil, statusWithin)
	if err != nil {
		return edge.Status{}, fmt.Errorf("asking the edge node: %w", err)
	}
	var stats struct {
		Endpoints []struct {
			Data edge.Status `json:"data"`
		} `json:"endpoints"`
	}
	if err := json.Unmarshal(reply.Data, &stats); err != nil || len(stats.Endpoints) == 0 {
		return edge.Status{}, fmt.Errorf("the edge node's answer cannot be read: %w", err)
	}
	return stats.Endpoints[0].Data, nil
}

func printStatus(out io.Writer, s edge.Status) error {
	asOf, state := "never", "not connected"
	if s.AsOf != nil {
		asOf = s.AsOf.Format(time.RFC3339)
	}
	if s.Linked {
		state = "connected"
	}
	milliseconds := func(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }
	_, err := fmt.Fprintf(out, "%s, version %s\n  hub        %s, %s, last contact %s\n  lease      %s left\n"+
		"  outbox     %d messages, %d bytes, the oldest %s old, %d refused\n"+
		"  clock      the hub's less the edge's: %s\n  enrolled   %d users, %d workflows\n",
		s.Name, s.Version, s.Hub, state, asOf, milliseconds(s.LeaseLeftMS).Round(time.Second), s.Outbox.Messages, s.Outbox.Bytes,
		milliseconds(s.Outbox.LagMS).Round(time.Millisecond), s.Outbox.Refused, milliseconds(s.SkewMS), len(s.Enrolment.Users), len(s.Enrolment.Workflows))
	return err
}
