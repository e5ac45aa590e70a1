package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/cmd/weft/backup"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
	"github.com/weftmesh/weft/subjects"
)

// backupFlags are the flags of `weft backup`.
type backupFlags struct {
	recipients              []string
	passphrase, dump        string
	withoutKeys, onlyStream bool
	asJSON                  bool
}

// backupWait bounds how long a backup waits for a connection to NATS.
const backupWait = 10 * time.Second

func backupCommand() *cobra.Command {
	var o backupFlags
	cmd := &cobra.Command{
		Use:   "backup FILE|DIR",
		Short: "Make a backup of a running or stopped weft",
		Long: "Writes one archive with the SQLite databases, the streams and buckets, and the keys, which are encrypted. All of it is of one moment: what was " +
			"acknowledged before the command began is in it. Writers wait for that moment, usually some milliseconds. In a directory " +
			"the archive gets a name with the time. An archive is complete once it has its name; nothing is overwritten.\n\n" +
			"The keys are encrypted to --recipient, of age, or with the passphrase in --passphrase-file. Without them, secrets in the databases cannot be read and " +
			"nothing in the streams is accepted: keep what decrypts them in another place.\n\n" +
			"With databases on PostgreSQL, --streams-only is required: the archive has the streams of one moment, and PostgreSQL's own tools have the databases. " +
			"--dump runs a command while a snapshot of that moment can be used: its environment has WEFT_BACKUP_SNAPSHOT, for pg_dump --snapshot, " +
			"WEFT_BACKUP_RESTORE_POINT, for recovery_target_name (empty if the role may not create one), and WEFT_BACKUP_LSN.\n\n" +
			"Exit codes: 0 the archive is complete, 1 failure, 2 wrong usage.",
		Example: "  weft backup --data /var/lib/weft --recipient age1… /backup/\n" +
			"  weft backup --passphrase-file pass.txt weft.tar\n" +
			"  WEFT_DATABASE_URL=postgres://… weft backup --streams-only --keys ./nats/keys --recipient age1… \\\n" +
			"    --dump 'pg_dump -Fc --snapshot=\"$WEFT_BACKUP_SNAPSHOT\" -f weft.dump' streams.tar",
		Args: oneArgument("FILE or DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := commandConfig(cmd)
			if err != nil {
				return err
			}
			return makeBackup(cmd.Context(), config, args[0], o, consoleOf(cmd, o.asJSON))
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&o.recipients, "recipient", nil, "age recipient (age1…) that can decrypt the keys; several are allowed")
	flags.StringVar(&o.passphrase, "passphrase-file", "", "file with a passphrase that decrypts the keys")
	flags.BoolVar(&o.withoutKeys, "without-keys", false, "leave out the keys, which you keep apart")
	flags.BoolVar(&o.onlyStream, "streams-only", false, "leave out the databases: PostgreSQL's tools back them up")
	flags.StringVar(&o.dump, "dump", "", "shell command that dumps PostgreSQL at the moment of the backup")
	flags.BoolVar(&o.asJSON, "json", false, "print the result as JSON")
	addNATSFlags(cmd)
	addDataFlag(cmd)
	cmd.AddCommand(backupVerifyCommand())
	return cmd
}

// check returns a usage error for flags that contradict one another, and the recipients of the keys.
func (o backupFlags) check(config Config) ([]age.Recipient, error) {
	given := 0
	for _, is := range []bool{len(o.recipients) > 0, o.passphrase != "", o.withoutKeys} {
		if is {
			given++
		}
	}
	if given != 1 {
		return nil, usageError{errors.New("one of --recipient, --passphrase-file and --without-keys is required")}
	}
	for _, actor := range subjects.Actors() {
		if database.IsPostgreSQL(config.databaseURL(actor)) && !o.onlyStream {
			return nil, usageError{fmt.Errorf("the database of %s is on PostgreSQL, whose own tools back it up; --streams-only backs up the rest", actor)}
		}
	}
	var recipients []age.Recipient
	for _, text := range o.recipients {
		r, err := backup.ParseRecipient(text)
		if err != nil {
			return nil, usageError{fmt.Errorf("--recipient: %w", err)}
		}
		recipients = append(recipients, r)
	}
	if o.passphrase != "" {
		text, err := readPassphrase(o.passphrase)
		if err != nil {
			return nil, err
		}
		r, err := backup.PassphraseRecipient(text)
		if err != nil {
			return nil, err
		}
		recipients = append(recipients, r)
	}
	return recipients, nil
}

// readPassphrase reads the first line of a file.
func readPassphrase(file string) (string, error) {
	text, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return "", usageError{fmt.Errorf("--passphrase-file: %w", err)}
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return "", usageError{fmt.Errorf("--passphrase-file: %s has no passphrase in its first line", file)}
	}
	return line, nil
}

func makeBackup(ctx context.Context, config Config, path string, o backupFlags, c console) error {
	recipients, err := o.check(config)
	if err != nil {
		return err
	}
	p, err := newProcess(ctx, config, "backup", c.errs)
	if err != nil {
		return err
	}
	defer p.close()
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, "weft-"+time.Now().UTC().Format("20060102T150405Z")+".tar")
	}
	source := backup.Source{
		Recipients: recipients, StreamsOnly: o.onlyStream, Weft: programVersion(), Say: sayer(c),
		AtMoment: func(ctx context.Context, moment database.FrozenPostgres) error {
			return runDump(ctx, o.dump, moment, c)
		},
	}
	if !o.withoutKeys {
		seeds := p.keys
		if source.Keys, err = backup.KeyFiles(filepath.Dir(seeds), seeds, filepath.Join(config.Data, "keys")); err != nil {
			return err
		}
	}
	var text bytes.Buffer
	if err := printConfig(&text, config); err != nil {
		return err
	}
	source.Config = text.Bytes()
	for _, actor := range subjects.Actors() {
		source.Databases = append(source.Databases, p.database(actor))
	}
	stop, err := p.reachNATS(ctx)
	if err != nil {
		return err
	}
	defer stop()
	if source.Conn, err = p.connectForBackup(ctx, mesh.UserBackup); err != nil {
		return err
	}
	defer source.Conn.Close()
	m, err := backup.Create(ctx, path, source)
	if err != nil {
		return fmt.Errorf("making a backup: %w", err)
	}
	return reportBackup(c, path, m)
}

// sayer prints progress to standard error.
func sayer(c console) func(string) {
	var mu sync.Mutex
	return func(line string) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = fmt.Fprintln(c.errs, line)
	}
}

func reportBackup(c console, path string, m backup.Manifest) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	var messages uint64
	for _, s := range m.Streams {
		messages += s.Messages + s.Added
	}
	if c.json {
		return printJSON(c.out, map[string]any{
			"file": path, "bytes": info.Size(), "id": m.ID, "began_at": m.BeganAt, "taken_at": m.TakenAt, "ended_at": m.EndedAt, "held_ms": m.HeldMS,
			"databases": len(m.Databases), "streams": len(m.Streams), "messages": messages, "keys": m.Encrypted(), "postgresql": m.PostgreSQL,
		})
	}
	_, err = fmt.Fprintf(c.out, "%s: %d MiB, %d databases, %d streams with %d messages, as of %s; writers waited %d ms\n",
		path, info.Size()>>20, len(m.Databases), len(m.Streams), messages, m.TakenAt.Format(time.RFC3339), m.HeldMS)
	return err
}

// runDump runs the command of --dump.
func runDump(ctx context.Context, command string, moment database.FrozenPostgres, c console) error {
	if command == "" {
		return nil
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", command) //nolint:gosec // it is the operator's own command
	cmd.Stdout, cmd.Stderr = c.errs, c.errs
	cmd.Env = append(os.Environ(), "WEFT_BACKUP_SNAPSHOT="+moment.Snapshot, "WEFT_BACKUP_LSN="+moment.LSN,
		"WEFT_BACKUP_RESTORE_POINT="+moment.RestorePoint)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the command of --dump failed: %w", err)
	}
	return nil
}

// reachNATS finds the NATS server of the data folder, and starts it for the time of the command where weft is stopped. A server of nats.url or
// --nats is used as it is.
func (p *process) reachNATS(ctx context.Context) (stop func(), err error) {
	nothing := func() {}
	if p.config.NATS.URL != defaultConfig().NATS.URL || p.config.NATS.Keys != "" {
		if p.config.NATS.URL == defaultConfig().NATS.URL {
			p.natsURL = cmp.Or(embedded.URL(filepath.Dir(p.keys)), p.natsURL)
		}
		return nothing, nil
	}
	dir := filepath.Join(p.config.Data, "nats")
	if _, err := os.Stat(filepath.Join(dir, "nats.conf")); err != nil {
		return nil, fmt.Errorf("%s is not a data folder of `weft up`; --nats and --keys name a NATS server: %w", p.config.Data, err)
	}
	running, err := embedded.Running(dir)
	if err != nil {
		return nil, err
	}
	if running {
		p.natsURL = cmp.Or(embedded.URL(dir), p.natsURL)
		return nothing, nil
	}
	if _, err := embedded.Init(dir, embedded.Options{Port: -1, Sync: p.config.Durability}); err != nil {
		return nil, fmt.Errorf("preparing the NATS server: %w", err)
	}
	server, err := embedded.Start(ctx, dir, p.telemetry.Log.WithOptions(zap.IncreaseLevel(zap.ErrorLevel)))
	if err != nil {
		return nil, fmt.Errorf("starting the NATS server: %w", err)
	}
	p.natsURL, p.nats = server.ClientURL(), server
	return server.Shutdown, nil
}

// connectForBackup connects as a NATS user, and explains a missing key.
func (p *process) connectForBackup(ctx context.Context, user string) (*mesh.Conn, error) {
	options, err := p.options(user)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; `weft up` and `weft nats-init` of this version create it", err)
	}
	if err != nil {
		return nil, err
	}
	options.Wait = backupWait
	return mesh.Connect(ctx, options)
}

// secretFlags are the flags that name what decrypts keys.
type secretFlags struct{ identity, passphrase string }

func (s *secretFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.identity, "identity", "", "file with an age identity (AGE-SECRET-KEY-…) that decrypts the keys")
	cmd.Flags().StringVar(&s.passphrase, "passphrase-file", "", "file with the passphrase that decrypts the keys")
}

func (s *secretFlags) identities() ([]age.Identity, error) {
	passphrase := ""
	if s.passphrase != "" {
		var err error
		if passphrase, err = readPassphrase(s.passphrase); err != nil {
			return nil, err
		}
	}
	list, err := backup.Identities(s.identity, passphrase)
	if err != nil {
		return nil, usageError{fmt.Errorf("--identity: %w", err)}
	}
	return list, nil
}

// migrations returns the migrations of all actors.
func migrations() map[string]fs.FS {
	list := map[string]fs.FS{}
	for actor, entry := range actorTable {
		list[actor] = entry.migrations
	}
	return list
}
