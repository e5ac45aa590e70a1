package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/gateway"
)

// version is set by the linker: -X main.version=…. Code reads programVersion.
var version string

// unknownVersion is the version of a build that records none. NATS services require a semantic version.
const unknownVersion = gateway.ReleaseVersion + "-dev"

// programVersion returns the linker's version or, for a binary that `go install` has built, the version of the module.
func programVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return cmp.Or(version, moduleVersion(info), unknownVersion)
}

// moduleVersion returns the version of the main module without its leading v, or "" where the build records none.
func moduleVersion(info *debug.BuildInfo) string {
	if info.Main.Version == "(devel)" {
		return ""
	}
	return strings.TrimPrefix(info.Main.Version, "v")
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "weft %s %s\n", programVersion(), runtime.Version())
			return err
		},
	}
}
