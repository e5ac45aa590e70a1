package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/weftmesh/weft/edge"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
	"github.com/weftmesh/weft/subjects"
)

// edgeFlags are the flags of `weft edge`.
type edgeFlags struct {
	hubs            []string
	credentials, ca string
}

func edgeCommand() *cobra.Command {
	var flags edgeFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "edge",
		Short: "Run an edge node, which continues to work without its hub",
		Long: "Runs a NATS server of its own with a leaf connection to the hub, the workflow actor with the workflows that the edge is enrolled for, " +
			"and the HTTP gateway. Calls to other actors are forwarded to the hub. What the hub must be told is kept in an outbox until the hub has " +
			"it. Past its lease (workflow.edge_lease of the hub) without contact, an edge node permits nothing.\n\n" +
			"`weft edge enroll` at the hub writes the credentials. The hub must accept leaf connections (`weft up --leaf`, nats.leaf_listen).\n\n" +
			"Exit codes: 0 stopped by a signal, 1 failure, 2 wrong usage or credentials.",
		Example: "  weft edge --hub nats://hub.example.com:7422 --credentials box7.edge --data /var/lib/weft-edge --http 127.0.0.1:8080\n" +
			"  weft edge --hub tls://hub.example.com:7422 --ca hub-ca.pem --credentials box7.edge",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := commandConfig(cmd)
			if err != nil {
				return err
			}
			if len(flags.hubs) == 0 || flags.credentials == "" {
				return usageError{errors.New("--hub and --credentials are required")}
			}
			return runEdge(cmd.Context(), config, flags, consoleOf(cmd, asJSON))
		},
	}
	cmd.Flags().StringSliceVar(&flags.hubs, "hub", nil, "address of the hub's leaf listener, nats://host:7422 or tls://host:7422; several for a cluster")
	cmd.Flags().StringVar(&flags.credentials, "credentials", "", "file that `weft edge enroll` has written")
	cmd.Flags().StringVar(&flags.ca, "ca", "", "file of certificates to verify the hub's with (default the system's)")
	addDataFlag(cmd)
	cmd.Flags().String("http", "", "address of the gateway (default 127.0.0.1:8080); port 0 picks a free port")
	cmd.Flags().String("nats", "", "address of the edge's NATS server (default 127.0.0.1:4222); port 0 picks a free port")
	addJSONFlag(cmd, &asJSON)
	cmd.AddCommand(edgeEnrollCommand(), edgeSetCommand(), enrolledListCommand(subjects.KindEdge, "edge nodes"),
		enrolledRevokeCommand(subjects.KindEdge, "Remove an edge node; the server disconnects it",
			"Removes an edge node. The hub closes its connection and refuses its outbox within seconds. A node that is not connected may act for its "+
				"users until its lease has expired.", "box7"), edgeStatusCommand())
	return cmd
}

// runEdge runs an edge node until ctx ends.
func runEdge(ctx context.Context, config Config, flags edgeFlags, c console) (err error) {
	start := time.Now()
	credentials, err := edge.LoadCredentials(flags.credentials)
	if err != nil {
		return usageError{err}
	}
	config.Issuer, config.Audience = credentials.Issuer, credentials.Audience
	limit := tuneMemory()
	p, err := newProcess(ctx, config, "edge", c.errs)
	if err != nil {
		return err
	}
	defer p.close()
	logMemory(p.telemetry.Log, limit)
	defer p.returnIdleMemory(ctx)()
	defer p.reloadAtHangup()()
	server, err := p.startEdgeServer(ctx, credentials, flags)
	if err != nil {
		return err
	}
	defer server.Shutdown()
	p.natsURL, p.nats = server.ClientURL(), server
	if err := p.createMissing(ctx); err != nil {
		return fmt.Errorf("creating streams, buckets and durables: %w", err)
	}
	closeNode, err := p.openEdge(ctx, server, credentials, strings.Join(flags.hubs, ","))
	if err != nil {
		return err
	}
	defer closeNode()
	p.health.expect([]string{"workflow", mesh.UserGateway})
	line := readyLine{Ready: true, limits: config.limitsText(), Version: programVersion(), NATS: p.natsURL, Data: config.Data}
	metricsCtx, stopMetrics := context.WithCancel(context.WithoutCancel(ctx))
	defer stopMetrics()
	if line.Metrics, err = p.serveMetrics(metricsCtx, gatewayMetricsPort); err != nil {
		return err
	}
	return p.serveEdge(ctx, func(http string) error {
		line.HTTP, line.TookMS = http, time.Since(start).Milliseconds()
		return printReady(c, line)
	})
}

// startEdgeServer starts the edge's NATS server.
func (p *process) startEdgeServer(ctx context.Context, credentials edge.Credentials, flags edgeFlags) (*embedded.Server, error) {
	dir := filepath.Join(p.config.Data, "nats")
	host, port, err := serverAddress(p.config.NATS.Listen)
	if err != nil {
		return nil, err
	}
	_, err = embedded.Init(dir, embedded.Options{Host: host, Port: port, Sync: p.config.Durability, Monitor: p.config.NATS.Monitor, Edge: true})
	if err != nil {
		return nil, fmt.Errorf("preparing the NATS server: %w", err)
	}
	leaf := embedded.Leaf{Name: credentials.Name, URLs: flags.hubs, Seed: []byte(credentials.Seed), CA: flags.ca}
	server, err := embedded.StartEdge(ctx, dir, leaf, p.telemetry.Log)
	if err != nil {
		return nil, fmt.Errorf("starting the NATS server: %w", err)
	}
	return server, nil
}

// openEdge opens the edge node of the process.
func (p *process) openEdge(ctx context.Context, server *embedded.Server, credentials edge.Credentials, hub string) (closeAll func(), err error) {
	var closers []func()
	closeAll = func() {
		for _, f := range closers {
			f()
		}
	}
	defer func() {
		if err != nil {
			closeAll()
		}
	}()
	o := edge.Options{
		Name: credentials.Name, Hub: hub, Version: programVersion(), Dir: p.config.Data, Config: p.config.Edge, First: credentials.First,
		Link: server.Link, Log: p.telemetry.Log,
	}
	if o.SystemSeed, err = embedded.LoadSeed(filepath.Join(p.config.Data, "nats"), mesh.UserSystem); err != nil {
		return nil, err
	}
	if o.Local, err = server.LocalConn(embedded.AccountMesh, "weft-edge", mesh.InboxPrefix("edge")); err != nil {
		return nil, fmt.Errorf("connecting to the edge's mesh: %w", err)
	}
	closers = append(closers, o.Local.Close)
	o.Uplink, err = server.LocalConn(embedded.AccountHub, "weft-uplink", mesh.InboxPrefix(mesh.EnrolledUser(subjects.KindEdge, credentials.Name)))
	if err != nil {
		return nil, fmt.Errorf("connecting to the leaf connection: %w", err)
	}
	closers = append(closers, o.Uplink.Close)
	var gateway *mesh.Conn
	for user, conn := range map[string]**mesh.Conn{"auth": &o.Auth, "consent": &o.Consent, mesh.UserGateway: &gateway} {
		if *conn, err = p.connect(ctx, user); err != nil {
			return nil, err
		}
		closers = append(closers, (*conn).Close)
	}
	node, err := edge.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	membership, err := mesh.Join(ctx, gateway, p.telemetry.Log)
	if err != nil {
		return nil, err
	}
	verifier, err := mesh.NewVerifier(ctx, membership, credentials.Issuer, credentials.Audience, node.Now)
	if err != nil {
		return nil, err
	}
	node.UseVerifier(verifier)
	p.edge = node
	return closeAll, nil
}

// serveEdge runs the edge node with its actor and the gateway, until ctx ends or one of them fails.
func (p *process) serveEdge(ctx context.Context, ready func(http string) error) error {
	nodeCtx, stopNode := context.WithCancel(context.WithoutCancel(ctx))
	defer stopNode()
	group, nodeCtx := errgroup.WithContext(nodeCtx)
	started := make(chan struct{})
	group.Go(func() error { return p.edge.Run(nodeCtx, func() { close(started) }) })
	serveCtx, stopServing := context.WithCancel(ctx)
	defer stopServing()
	context.AfterFunc(nodeCtx, stopServing)
	select {
	case <-started:
	case <-nodeCtx.Done():
	}
	err := p.serve(serveCtx, []string{"workflow"}, true, ready)
	stopNode()
	return errors.Join(err, group.Wait())
}
