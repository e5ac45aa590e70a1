package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/edge"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
	"github.com/weftmesh/weft/subjects"
)

// addEdgeFlags adds the flags that say what an edge node is enrolled for.
func addEdgeFlags(cmd *cobra.Command, e *subjects.Enrolment) {
	cmd.Flags().StringSliceVar(&e.Users, "users", nil, "ids of the users for whom the edge acts")
	cmd.Flags().StringSliceVar(&e.Workflows, "workflows", nil, "ids of the workflows that run at the edge; their users must be among --users")
}

func edgeEnrollCommand() *cobra.Command {
	var out string
	var enrolment subjects.Enrolment
	cmd := &cobra.Command{
		Use:   "enroll NAME",
		Short: "Admit an edge node and write its credentials",
		Long: "Makes a NATS user that connects as a leaf node, may make plain calls and those that admit edge nodes, and receives nothing but the " +
			"replies. Writes its credentials, which are secret and stored nowhere else, to a new file. A running hub admits the node within a second; the " +
			"command then makes the first contact itself, so that the file has what the edge mirrors and a lease, and the edge can start without the hub.",
		Example: "  weft edge enroll box7 --users 0197… --workflows 0197…,0198…\n  weft edge enroll box7 --out /run/secrets/box7.edge",
		Args:    oneArgument("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := newEnrollment(cmd)
			if err != nil {
				return err
			}
			defer e.close()
			file := cmp.Or(out, args[0]+".edge")
			if _, err := os.Stat(file); err == nil {
				return usageError{fmt.Errorf("%s exists already: name another file with --out", file)}
			}
			_, seed, applied := e.enroll(cmd.Context(), mesh.Enrolled{Kind: subjects.KindEdge, Name: args[0], Edge: &enrolment})
			if seed == nil {
				return applied
			}
			credentials := edge.Credentials{Name: args[0], Seed: string(seed), Issuer: e.config.Issuer, Audience: e.config.Audience}
			if applied == nil {
				credentials.First, err = firstContact(cmd.Context(), e, credentials)
				if err != nil {
					_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "The first contact failed, so the edge must reach the hub before it can act: %v\n", err)
				}
			}
			data, err := json.MarshalIndent(credentials, "", "  ")
			if err != nil {
				return fmt.Errorf("encoding the credentials: %w", err)
			}
			if err := writeSeed(file, data); err != nil || applied != nil {
				return cmp.Or(err, applied)
			}
			_, err = fmt.Fprintf(e.out, "Enrolled %s. Wrote its credentials to %s.\n", args[0], file)
			return err
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "file to write the credentials to (default NAME.edge)")
	addEdgeFlags(cmd, &enrolment)
	addServerFlags(cmd)
	return cmd
}

// firstWithin bounds the first contact of an enrolment.
const firstWithin = 10 * time.Second

// firstContact connects to the hub as the edge node and returns what it grants.
func firstContact(ctx context.Context, e *enrollment, c edge.Credentials) (_ *edge.State, err error) {
	address := embedded.LeafURL(e.dirs[0])
	if address == "" {
		return nil, fmt.Errorf("the server accepts no leaf connections: start it with --leaf (nats.leaf_listen)")
	}
	dir, err := os.MkdirTemp("", "weft-enroll")
	if err != nil {
		return nil, fmt.Errorf("making a folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if _, err := embedded.Init(dir, embedded.Options{Port: -1, Sync: embedded.SyncInterval}); err != nil {
		return nil, err
	}
	server, err := embedded.StartEdge(ctx, dir, embedded.Leaf{Name: c.Name, URLs: []string{address}, Seed: []byte(c.Seed)}, zap.NewNop())
	if err != nil {
		return nil, err
	}
	defer server.Shutdown()
	conn, err := server.LocalConn(embedded.AccountHub, "weft-enroll", mesh.InboxPrefix(mesh.EnrolledUser(subjects.KindEdge, c.Name)))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, firstWithin)
	defer cancel()
	for {
		state, err := edge.First(ctx, c.Name, programVersion(), conn, server.Link)
		if err == nil || ctx.Err() != nil {
			return state, err
		}
		if wait.Sleep(ctx, admitPoll) != nil { // the server takes a moment to admit the node
			return nil, err
		}
	}
}

func edgeSetCommand() *cobra.Command {
	var enrolment subjects.Enrolment
	cmd := &cobra.Command{
		Use:     "set NAME",
		Short:   "Replace what an edge node is enrolled for",
		Long:    "Replaces the users and workflows of an edge node with the given ones. A connected node knows it within seconds.",
		Example: "  weft edge set box7 --users 0197… --workflows 0197…",
		Args:    oneArgument("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := newEnrollment(cmd)
			if err != nil {
				return err
			}
			defer e.close()
			err = e.change(cmd.Context(), false, func(dir string) error { return embedded.SetEdge(dir, args[0], enrolment) })
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(e.out, "%s is enrolled for %d users and %d workflows.\n", args[0], len(enrolment.Users), len(enrolment.Workflows))
			return err
		},
	}
	addEdgeFlags(cmd, &enrolment)
	addServerFlags(cmd)
	return cmd
}
