package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/mesh/embedded"
)

const clusterHelp = "With --cluster, it writes a folder for each server of a cluster: DIR/<name> is complete and is copied to the server's machine. " +
	"DIR/keys has the users' keys and ca.crt: a machine that runs actors needs those of its users, public.json and ca.crt. DIR/ca has the " +
	"private key of the certificate authority and the password of routes, and stays where nats-init runs. DIR/weft.yaml has the settings with which " +
	"weft's processes reach the cluster. A server is [NAME=]HOST[:CLIENT_PORT[/ROUTE_PORT]], by default with the host as its name and the ports 4222 and " +
	"6222. Routes have a password, and with TLS they require certificates of the authority on both ends. TLS is on unless all servers are on the " +
	"loopback interface.\n\nRun it again with the same flags and more servers to add some, and with --renew to renew the certificates of which a third " +
	"of their life (a year) or less is left."

const clusterExamples = "  weft nats-init --cluster n1.internal,n2.internal,n3.internal ./cluster\n" +
	"  weft nats-init --cluster a=10.0.0.1,b=10.0.0.2,c=10.0.0.3 --path /etc/weft/nats ./cluster\n" +
	"  weft nats-init --cluster a=127.0.0.1:4223/6223,b=127.0.0.1:4224/6224,c=127.0.0.1:4225/6225 --tls on ./cluster\n" +
	"  nats-server -c ./cluster/a/nats.conf"

// clusterFlags are the flags of `weft nats-init --cluster`.
type clusterFlags struct {
	servers         []string
	name, path, tls string
	renew           bool
}

// clusterOnly are the flags that need --cluster.
var clusterOnly = []string{"cluster-name", "path", "tls", "renew"}

func (f *clusterFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.servers, "cluster", nil, "servers of a cluster: [NAME=]HOST[:CLIENT_PORT[/ROUTE_PORT]],…")
	cmd.Flags().StringVar(&f.name, "cluster-name", "weft", "name of the cluster")
	cmd.Flags().StringVar(&f.path, "path", "", "where a server's folder lies on its machine (default where it is written)")
	cmd.Flags().StringVar(&f.tls, "tls", embedded.TLSAuto, "TLS of the cluster: auto, on, mutual (clients need a certificate too) or off")
	cmd.Flags().BoolVar(&f.renew, "renew", false, "renew the cluster's certificates of which a third of their life or less is left")
}

// unused refuses the flags of a cluster without --cluster.
func (f *clusterFlags) unused(cmd *cobra.Command) error {
	for _, name := range clusterOnly {
		if cmd.Flags().Changed(name) {
			return usageError{fmt.Errorf("--%s needs --cluster", name)}
		}
	}
	return nil
}

// init writes a cluster's folders. options has the flags that it shares with a single server.
func (f *clusterFlags) init(cmd *cobra.Command, dir string, options embedded.Options) error {
	for _, name := range []string{"listen", "store"} {
		if cmd.Flags().Changed(name) {
			return usageError{fmt.Errorf("--%s is for a single server; --cluster has each server's address", name)}
		}
	}
	cluster := embedded.ClusterOptions{
		Name: f.name, TLS: f.tls, Renew: f.renew, Path: f.path, Sync: options.Sync, Monitor: options.Monitor, Now: time.Now(),
	}
	for _, text := range f.servers {
		member, err := embedded.ParseMember(text)
		if err != nil {
			return usageError{fmt.Errorf("--cluster: %w", err)}
		}
		cluster.Members = append(cluster.Members, member)
	}
	if err := cluster.Check(); err != nil {
		return usageError{err}
	}
	written, err := embedded.InitCluster(dir, cluster)
	if err != nil {
		return fmt.Errorf("writing the cluster's configuration: %w", err)
	}
	settings, err := writeClusterSettings(written, len(cluster.Members))
	if err != nil {
		return err
	}
	return printCluster(cmd.OutOrStdout(), written, cluster, settings)
}

// writeClusterSettings writes weft.yaml unless it exists, and returns its path.
func writeClusterSettings(c embedded.ClusterFolder, servers int) (string, error) {
	path := filepath.Join(c.Dir, "weft.yaml")
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	replicas := 1
	if servers >= 3 {
		replicas = 3
	}
	text := fmt.Sprintf("# How weft's processes reach the cluster. Written once by weft nats-init --cluster: add settings of your own.\n"+
		"nats:\n  url: %q\n  keys: %q\n  replicas: %d\n", c.URL, c.Keys, replicas)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("writing the settings: %w", err)
	}
	return path, nil
}

// printCluster says what was written and what to do next.
func printCluster(w io.Writer, c embedded.ClusterFolder, o embedded.ClusterOptions, settings string) error {
	var errs []error
	line := func(format string, args ...any) {
		_, err := fmt.Fprintf(w, format+"\n", args...)
		errs = append(errs, err)
	}
	encryption := "with TLS"
	if !c.Encrypted {
		encryption = "without TLS"
	}
	line("Wrote the cluster %s to %s, %s. nats.url is %s", o.Name, c.Dir, encryption, c.URL)
	if !c.Encrypted && slices.ContainsFunc(o.Members, func(m embedded.Member) bool { return !m.Loopback() }) {
		line("Warning: everything that passes between the machines can be read and changed on the way.")
	}
	for _, file := range c.Issued {
		line("  issued %s", file)
	}
	for _, file := range c.Due {
		line("Warning: %s ends soon: run this again with --renew", file)
	}
	for _, name := range c.Left {
		line("Warning: %s is the folder of a server that is not in --cluster", filepath.Join(c.Dir, name))
	}
	if len(o.Members)%2 == 0 {
		line("Note: %d servers survive as many failures as %d: a majority must be left.", len(o.Members), len(o.Members)-1)
	}
	line("Start the servers, each on its machine, and then create the streams:")
	for _, m := range o.Members {
		dir := filepath.Join(c.Dir, m.Name)
		if o.Path != "" {
			dir = o.Path
		}
		line("  nats-server -c %s", filepath.Join(dir, "nats.conf"))
	}
	line("  weft migrate --config %s", settings)
	return errors.Join(errs...)
}
