// Command weft is a self-hosted backend for integration and automation: five actors on a NATS mesh
// behind a small HTTP gateway, in one process or in many.
//
// Where things are in this package, the only one that knows everyone:
//
//	main.go          the commands
//	config*.go       the one configuration
//	up.go            weft up: everything in one process, NATS included
//	run.go           weft run: some actors, or the gateway, against a NATS server
//	process.go       what both are made of
//	migrate.go       weft migrate: streams, buckets, durables and database schemas
//	natscmd.go       weft nats-init, weft nats-context
//	admin.go         weft admin create
//	authcmd.go       weft auth rotate-keys
//	keyscmd.go       weft keys rotate
//	workflowcmd.go   weft workflow lint, diagram
//	providercmd.go   weft provider lint, list, schema
//	lint.go          what commands that lint share
//	generate.go      weft generate: documents derived from the contract
//	demo*.go         weft demo: the product's story, played against a running weft
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// execute runs one command and returns the exit code.
func execute(ctx context.Context, args []string) int {
	root := rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintln(os.Stderr, "weft:", err)
		return exitUsage
	default:
		fmt.Fprintln(os.Stderr, "weft:", err)
		return exitFailure
	}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "weft",
		Short: "A self-hosted backend for integration and automation",
		Long: "weft signs users in, connects their SaaS accounts, keeps what they allow, runs their automations " +
			"durably and tells them what happened.\n\nExit codes: 0 done, 1 failed, 2 wrong usage.",
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
	root.PersistentFlags().String("config", os.Getenv("WEFT_CONFIG"), "YAML file with settings; the environment stands before it")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		upCommand(), runCommand(), migrateCommand(), demoCommand(), configCommand(), healthCommand(), adminCommand(), authCommand(), keysCommand(),
		workflowCommand(), providerCommand(), natsInitCommand(), natsContextCommand(), versionCommand(),
	)
	return root
}

// suggestions names the commands that a mistyped word may have meant.
func suggestions(cmd *cobra.Command, word string) string {
	cmd.SuggestionsMinimumDistance = 2
	if names := cmd.SuggestionsFor(word); len(names) > 0 {
		return fmt.Sprintf(", did you mean %s?", strings.Join(names, " or "))
	}
	return ""
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info, _ := debug.ReadBuildInfo()
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "weft %s %s\n", version, info.GoVersion)
			return err
		},
	}
}
