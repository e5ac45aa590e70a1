// Command weft is a self-hosted backend for integration and automation: five actors on a NATS mesh behind an HTTP
// gateway, in one process or in several.
//
// The files of this package, the only one that imports every actor:
//
//	main.go             the root command and the exit codes
//	cli.go              helpers that commands share
//	version.go          weft version
//	up.go               weft up: the whole of weft in one process, with an embedded NATS server
//	run.go              weft run: some actors, or the gateway, against a NATS server
//	serve.go            running actors and the gateway; the ready line
//	metrics.go          the metrics port
//	readiness.go        /healthz and /readyz of the process
//	process.go          what a process is made of: NATS users, databases, keysets, telemetry
//	log.go              the buffered log, as JSON or text
//	reload.go           what SIGHUP does
//	gc.go               tuning of the garbage collector
//	migrate.go          weft migrate: streams, buckets, durables and database schemas
//	backup.go           weft backup, weft backup verify
//	restore.go          weft restore
//	streams.go          comparing and migrating what JetStream stores
//	config.go           the configuration and its defaults
//	config_load.go      reading it from a YAML file and the environment
//	config_keys.go      the keys of all settings, and their environment variables
//	config_check.go     validating settings
//	config_command.go   weft config
//	nats*.go            weft nats-init, weft nats-context, weft nats-balance, weft nats-reload
//	tls.go              the files of TLS with NATS
//	edge.go             weft edge: an edge node
//	edge_enroll.go      weft edge enroll, set, list, revoke
//	edge_status.go      weft edge status
//	replay.go           weft replay: dead letters
//	admin.go            weft admin create
//	auth.go             weft auth rotate-keys
//	keys.go             weft keys rotate
//	workflow.go         weft workflow lint, weft workflow diagram
//	provider.go         weft provider lint, list, schema
//	lint.go             what the lint commands share
//	health.go           weft health
//	doctor*.go          weft doctor, weft doctor mail, weft doctor tls
//	disk_space_*.go     the free space of a file system
//	stopping.go         the time that a process has to end
//	demo.go             weft demo: an HTTP client that prints its requests
//	demo_story.go       the steps of the demo
//	demo_shop.go        the demo's HTTP API
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/cmd/weft/backup"
)

// Exit codes of a command that did not succeed.
const (
	exitFailure = 1
	exitUsage   = 2
	// exitPending is that of a dry run that has found something to change.
	exitPending = 3
	// exitFormat is that of an archive that another version of weft must read, exitSecret that of keys that cannot be decrypted.
	exitFormat = 4
	exitSecret = 5
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, rootCommand(), os.Args[1:])
	stop()
	os.Exit(code)
}

// execute runs a command line, prints its error to the command's standard error and returns the exit code.
func execute(ctx context.Context, root *cobra.Command, args []string) int {
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintln(root.ErrOrStderr(), "weft:", err)
	switch {
	case errors.As(err, new(usageError)):
		return exitUsage
	case errors.As(err, new(pendingError)):
		return exitPending
	case errors.Is(err, backup.ErrFormat):
		return exitFormat
	case errors.Is(err, backup.ErrSecret):
		return exitSecret
	}
	return exitFailure
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "weft",
		Short: "A self-hosted backend for integration and automation",
		Long: "weft authenticates users, connects their SaaS accounts, records their consents, runs their workflows durably and " +
			"sends them notifications.\n\nExit codes: 0 success, 1 failure, 2 wrong usage or invalid configuration, 3 a dry run has found something " +
			"to change.",
		Version:       versionText(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q for %q%s", args[0], cmd.CommandPath(), suggestions(cmd, args[0]))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("weft {{.Version}}\n")
	root.PersistentFlags().String("config", os.Getenv("WEFT_CONFIG"), "YAML configuration file; environment variables override it")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		upCommand(), runCommand(), migrateCommand(), backupCommand(), restoreCommand(), demoCommand(),
		configCommand(), healthCommand(), adminCommand(), authCommand(), keysCommand(), ledgerCommand(),
		workflowCommand(), providerCommand(), natsInitCommand(), natsContextCommand(), natsBalanceCommand(), natsReloadCommand(), replayCommand(),
		extensionCommand(), edgeCommand(), doctorCommand(),
		versionCommand(),
	)
	return root
}

// suggestions proposes commands whose names are similar to a mistyped one.
func suggestions(cmd *cobra.Command, word string) string {
	cmd.SuggestionsMinimumDistance = 2
	if names := cmd.SuggestionsFor(word); len(names) > 0 {
		return fmt.Sprintf(", did you mean %s?", strings.Join(names, " or "))
	}
	return ""
}
