package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/subjects"
)

// version is set by the linker.
var version = "0.1.0-dev"

// usageError is a mistake in the command line.
type usageError struct{ error }

// noArguments refuses arguments as a mistake of usage.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s takes no arguments, got %q", cmd.CommandPath(), args)}
	}
	return nil
}

func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// checkActors refuses names that are none of the five.
func checkActors(names []string) error {
	for _, name := range names {
		if !slices.Contains(subjects.Actors(), name) {
			return usageError{fmt.Errorf("there is no actor %q; there are %v", name, subjects.Actors())}
		}
	}
	return nil
}

// serverAddress splits an address for the embedded server, to which a negative port means a free one.
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
