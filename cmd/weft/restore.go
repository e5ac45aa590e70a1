package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/cmd/weft/backup"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
)

func backupVerifyCommand() *cobra.Command {
	var secrets secretFlags
	var asJSON bool
	var temp string
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check that a backup can be restored",
		Long: "Reads all of an archive and prints what a restore would give: it compares every hash, unpacks each database into a folder of its own, checks its " +
			"integrity and migrates it there, reads every message of every stream, verifies the ledger of consents, and decrypts the keys if it is given " +
			"--identity or --passphrase-file.\n\nExit codes: 0 it can be restored, 1 it is damaged or cannot be read, 2 wrong usage, 4 it needs another version of " +
			"weft, 5 the keys cannot be decrypted.",
		Example: "  weft backup verify weft.tar\n  weft backup verify --identity key.txt --json weft.tar",
		Args:    oneArgument("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			identities, err := secrets.identities()
			if err != nil {
				return err
			}
			c := consoleOf(cmd, asJSON)
			return withArchive(args[0], func(a *backup.Archive) error {
				if temp == "" {
					temp = os.TempDir()
				}
				report, err := a.Verify(cmd.Context(), backup.Check{Migrations: migrations(), Identities: identities, Temp: temp, Say: sayer(c)})
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(c.out, report)
				}
				_, err = fmt.Fprintf(c.out, "%s can be restored: as of %s by weft %s, %d databases, %d streams with %d messages, "+
					"%d entries of the ledger verified; keys: %s\n", args[0], report.BeganAt, report.Weft, len(report.Database), report.Streams,
					report.Messages, max(0, report.LedgerEntries), report.Keys)
				return err
			})
		},
	}
	secrets.add(cmd)
	cmd.Flags().StringVar(&temp, "temp", "", "folder to unpack databases in, one at a time (default the system's)")
	addJSONFlag(cmd, &asJSON)
	return cmd
}

// withArchive opens an archive for f.
func withArchive(path string, f func(*backup.Archive) error) error {
	a, err := backup.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f(a), a.Close())
}

func restoreCommand() *cobra.Command {
	var secrets secretFlags
	var keysFrom string
	var streamsOnly, keysOnly bool
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Restore a backup into an empty place",
		Long: "Makes a data folder for `weft up` of an archive. The folder must be absent or empty. All of the archive is read and compared with its hashes first, " +
			"and the folder has its content only when everything is restored.\n\n" +
			"On several machines, --keys-only writes the keys and the configuration of a NATS server into --data, and --streams-only restores the streams and " +
			"buckets into running NATS servers that have none, with nats.replicas copies. Restore PostgreSQL's databases before, to the moment of the archive.\n\n" +
			"Exit codes: 0 restored, 1 failure, 2 wrong usage, 4 the archive needs another version of weft, 5 the keys cannot be decrypted.",
		Example: "  weft restore --identity key.txt --data /var/lib/weft weft.tar\n" +
			"  weft restore --keys-only --identity key.txt --data . streams.tar\n" +
			"  WEFT_NATS_REPLICAS=3 weft restore --streams-only --nats nats://a,nats://b --keys ./nats/keys streams.tar",
		Args: oneArgument("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := commandConfig(cmd)
			if err != nil {
				return err
			}
			if streamsOnly && keysOnly {
				return usageError{errors.New("--streams-only and --keys-only exclude each other")}
			}
			identities, err := secrets.identities()
			if err != nil {
				return err
			}
			p, err := newProcess(cmd.Context(), config, "restore", cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer p.close()
			c := consoleOf(cmd, false)
			target := backup.Target{
				Dir: config.Data, Migrations: migrations(), Identities: identities, KeysFrom: keysFrom, Say: sayer(c),
				Log: p.telemetry.Log.WithOptions(zap.IncreaseLevel(zap.ErrorLevel)),
			}
			return withArchive(args[0], func(a *backup.Archive) error {
				switch {
				case streamsOnly:
					return p.restoreStreams(cmd.Context(), a, target, c)
				case keysOnly:
					return p.restoreKeys(cmd.Context(), a, target, c)
				}
				if err := a.Restore(cmd.Context(), target); err != nil {
					return fmt.Errorf("restoring: %w", err)
				}
				_, err := fmt.Fprintf(c.out, "Restored %s. Start it with:\n  weft up --data %s\n", config.Data, config.Data)
				return err
			})
		},
	}
	secrets.add(cmd)
	cmd.Flags().StringVar(&keysFrom, "keys-from", "", "folder with nats/keys and keys, for an archive without keys")
	cmd.Flags().BoolVar(&streamsOnly, "streams-only", false, "restore streams and buckets into running NATS servers that have none")
	cmd.Flags().BoolVar(&keysOnly, "keys-only", false, "write the keys and a NATS server's configuration")
	addNATSFlags(cmd)
	addDataFlag(cmd)
	return cmd
}

// restoreStreams restores the streams into running NATS servers.
func (p *process) restoreStreams(ctx context.Context, a *backup.Archive, t backup.Target, c console) error {
	if err := a.Check(ctx, t.Say); err != nil {
		return err
	}
	if known := embedded.URL(filepath.Dir(p.keys)); known != "" && p.config.NATS.URL == defaultConfig().NATS.URL {
		p.natsURL = known
	}
	conn, err := p.connectForBackup(ctx, mesh.UserMigrate)
	if err != nil {
		return err
	}
	defer conn.Close()
	waiting, cancel := context.WithTimeout(ctx, defaultMigrateWait)
	defer cancel()
	if err := mesh.AwaitJetStream(waiting, conn, func(waitingFor string) { t.Say("waiting for " + waitingFor) }); err != nil {
		return err
	}
	if err := a.RestoreStreams(ctx, conn, p.config.NATS.Replicas, t.Say); err != nil {
		return fmt.Errorf("restoring streams: %w", errors.Join(err, conn.LastError()))
	}
	_, err = fmt.Fprintln(c.out, "Restored the streams. Run `weft migrate`, then start weft.")
	return err
}

// restoreKeys writes the keys and a NATS server's configuration.
func (p *process) restoreKeys(ctx context.Context, a *backup.Archive, t backup.Target, c console) error {
	host, port, err := serverAddress(p.config.NATS.Listen)
	if err != nil {
		return err
	}
	err = a.RestoreKeys(ctx, t, embedded.Options{Host: host, Port: port, Sync: p.config.Durability, Monitor: p.config.NATS.Monitor})
	if err != nil {
		return fmt.Errorf("restoring keys: %w", err)
	}
	_, err = fmt.Fprintf(c.out, "Wrote %s and %s.\n", filepath.Join(t.Dir, "nats"), filepath.Join(t.Dir, "keys"))
	return err
}
