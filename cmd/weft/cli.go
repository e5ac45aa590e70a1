package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/subjects"
)

// usageError is an error in the command line or the configuration. The exit code is exitUsage.
type usageError struct{ error }

// console is where a command writes.
type console struct {
	// out takes the result, errs the log.
	out, errs io.Writer
	// json makes the ready line JSON.
	json bool
}

func consoleOf(cmd *cobra.Command, asJSON bool) console {
	return console{out: cmd.OutOrStdout(), errs: cmd.ErrOrStderr(), json: asJSON}
}

// noArguments rejects positional arguments.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s takes no arguments, got %q", cmd.CommandPath(), args)}
	}
	return nil
}

// oneArgument requires exactly one positional argument. name is how the usage line shows it.
func oneArgument(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError{fmt.Errorf("%s requires one argument, %s, got %q", cmd.CommandPath(), name, args)}
		}
		return nil
	}
}

// groupCommand returns a command that only has subcommands; without one it prints its help.
func groupCommand(use, short string, subcommands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(subcommands...)
	return cmd
}

// addActorsFlag adds --actors, a list of actors' names that shells can complete.
func addActorsFlag(cmd *cobra.Command, names *[]string, initial []string, usage string) {
	cmd.Flags().StringSliceVar(names, "actors", initial, usage+": "+strings.Join(subjects.Actors(), ", "))
	completeActors(cmd, "actors")
}

// completeActors completes a flag whose value is a comma-separated list of actors.
func completeActors(cmd *cobra.Command, flag string) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		before, last := "", typed
		if i := strings.LastIndexByte(typed, ','); i >= 0 {
			before, last = typed[:i+1], typed[i+1:]
		}
		named := strings.Split(before, ",")
		var proposals []string
		for _, actor := range subjects.Actors() {
			if strings.HasPrefix(actor, last) && !slices.Contains(named, actor) {
				proposals = append(proposals, before+actor)
			}
		}
		return proposals, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	})
	if err != nil {
		panic(err) // the flag does not exist, which is a mistake in this program
	}
}

// addDataFlag adds --data, which overrides the setting data.
func addDataFlag(cmd *cobra.Command) {
	cmd.Flags().String("data", "", "weft's data directory (default weft-data)")
}

// addNATSFlags adds --nats and --keys, which override the settings nats.url and nats.keys.
func addNATSFlags(cmd *cobra.Command) {
	cmd.Flags().String("nats", "", "URL of the NATS server (default nats://127.0.0.1:4222)")
	cmd.Flags().String("keys", "", "directory of the NATS users' seeds (default <data>/nats/keys)")
}

// printJSON prints a value as indented JSON.
func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// checkActors rejects names of actors that do not exist.
func checkActors(names []string) error {
	for _, name := range names {
		if !slices.Contains(subjects.Actors(), name) {
			return usageError{fmt.Errorf("unknown actor %q, the actors are %v", name, subjects.Actors())}
		}
	}
	return nil
}

// serverAddress splits a host:port for the embedded NATS server. Port 0, a free port, is returned as the server's -1.
func serverAddress(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err != nil || port < 0 || port > 65535 {
		return "", 0, usageError{fmt.Errorf("nats: %q is not host:port", address)}
	}
	if port == 0 {
		port = -1
	}
	return host, port, nil
}

// leafAddress is the address of leaf connections as a server's configuration has it; empty for an empty text.
func leafAddress(address string) (string, error) {
	if address == "" {
		return "", nil
	}
	host, port, err := serverAddress(address)
	return net.JoinHostPort(host, strconv.Itoa(port)), err
}
