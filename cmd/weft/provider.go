package main

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/actors/integration/manifest"
)

func providerCommand() *cobra.Command {
	return groupCommand("provider", "Check, list and describe provider manifests", providerLintCommand(), providerListCommand(), providerSchemaCommand())
}

func providerLintCommand() *cobra.Command {
	return lintCommand(&cobra.Command{
		Short: "Check provider manifests",
		Long: "Checks manifests as weft does when it loads one: against the JSON Schema, then templates, expressions and references. A " +
			"file must be named <id>.yaml. Each fault is printed on a line: file:line:column: pointer: message. " + lintExitCodes,
		Example: "  weft provider lint acme.yaml\n  weft provider lint --json providers/*.yaml | jq -r '.[].pointer'",
	}, lintProvider)
}

func lintProvider(file string, source []byte) (found []fileFault) {
	name := filepath.Base(file)
	if file == "-" {
		name = "" // standard input has no name to compare the id with
	}
	for _, f := range integration.Lint(name, source) {
		found = append(found, fileFault{Line: f.Line, Column: f.Column, Pointer: f.Pointer, Message: f.Message, label: cmp.Or(f.Pointer, "/")})
	}
	return found
}

func providerListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the available providers",
		Long: "Lists the providers that weft includes and those of the directory integration.providers_dir, as a weft with these settings " +
			"loads them, with the faults of each disabled one.\n\nExit codes: 0 all are valid, 1 some are disabled.",
		Example: "  weft provider list\n  weft provider list --dir ./providers --json | jq -r '.[] | select(.fault).id'",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := baseConfig(cmd)
			if err != nil {
				return err
			}
			asJSON, err := cmd.Flags().GetBool("json")
			if err != nil {
				return err
			}
			dir := config.Integration.ProvidersDir
			if flag := cmd.Flag("dir").Value.String(); flag != "" {
				dir = flag
			}
			listed, err := integration.ListProviders(dir)
			if err != nil {
				return err
			}
			return printProviders(cmd.OutOrStdout(), listed, asJSON)
		},
	}
	cmd.Flags().String("dir", "", "directory of additional manifests (default integration.providers_dir)")
	cmd.Flags().Bool("json", false, "print the providers as a JSON array")
	return cmd
}

// listedProvider is a provider in the output of `weft provider list --json`.
type listedProvider struct {
	ID       string   `json:"id"`
	Name     string   `json:"name,omitempty"`
	Category string   `json:"category,omitempty"`
	Auth     []string `json:"auth,omitempty"`
	Actions  int      `json:"actions"`
	Webhooks bool     `json:"webhooks"`
	File     string   `json:"file,omitempty"`
	Fault    string   `json:"fault,omitempty"`
}

// printProviders prints providers and returns an error if one is disabled.
func printProviders(w io.Writer, listed []integration.ListedProvider, asJSON bool) error {
	rows, disabled := make([]listedProvider, 0, len(listed)), 0
	for _, l := range listed {
		row := listedProvider{ID: l.ID, File: l.File, Fault: l.Fault}
		if p := l.Provider; p != nil {
			row.Name, row.Category, row.Actions, row.Webhooks = p.Name, p.Category, len(p.Actions), p.Webhook != nil
			for _, method := range p.Auth {
				row.Auth = append(row.Auth, string(method.Kind))
			}
		} else {
			disabled++
		}
		rows = append(rows, row)
	}
	write := printProviderTable
	if asJSON {
		write = func(w io.Writer, rows []listedProvider) error { return printJSON(w, rows) }
	}
	if err := write(w, rows); err != nil {
		return err
	}
	switch disabled {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("1 provider is disabled")
	}
	return fmt.Errorf("%d providers are disabled", disabled)
}

func printProviderTable(w io.Writer, rows []listedProvider) error {
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "ID\tCATEGORY\tACTIONS\tFROM\tSTATE")
	for _, row := range rows {
		state := "valid"
		if row.Fault != "" {
			state = "disabled"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\n", row.ID, cmp.Or(row.Category, "-"), row.Actions, cmp.Or(row.File, "weft"), state)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, row := range rows {
		if row.Fault == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "\n%s is disabled:\n%s\n", row.ID, row.Fault); err != nil {
			return err
		}
	}
	return nil
}

func providerSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of manifests",
		Long: "Prints the JSON Schema of provider manifests, which equals docs/provider.schema.json. Editors complete and check a manifest " +
			"with it if the first line of the file is # yaml-language-server: $schema=provider.schema.json",
		Example: "  weft provider schema > provider.schema.json",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(manifest.Schema)
			return err
		},
	}
}
