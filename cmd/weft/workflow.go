package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/actors/workflow/definition"
	"github.com/weftmesh/weft/actors/workflow/diagram"
	"github.com/weftmesh/weft/actors/workflow/language"
)

func workflowCommand() *cobra.Command {
	var find definition.Providers
	lint := lintCommand(&cobra.Command{
		Short: "Check workflow definitions",
		Long: "Checks Open Workflow documents, YAML or JSON, as create_workflow does, without a running weft. Actions are checked against " +
			"the providers that weft includes and those of the directory integration.providers_dir. Each fault is printed on a line: " +
			"file:line:column: code: message. A line with the code warning is no fault. " + lintExitCodes,
		Example: "  weft workflow lint order.yaml\n  weft workflow lint workflows/*.yaml\n" +
			"  weft workflow lint --json order.yaml | jq -r '.[].pointer'",
	}, func(_ string, source []byte) []fileFault { return lintWorkflow(source, find) })
	lint.Flags().String("dir", "", "directory of additional provider manifests (default integration.providers_dir)")
	lint.PreRunE = func(cmd *cobra.Command, _ []string) error {
		dir := cmd.Flag("dir").Value.String()
		if dir == "" {
			config, err := baseConfig(cmd)
			if err != nil {
				return err
			}
			dir = config.Integration.ProvidersDir
		}
		inputs, err := integration.ActionInputs(dir)
		if err != nil {
			return usageError{err}
		}
		find = func(_ context.Context, id string) *definition.Provider {
			actions, known := inputs(id)
			return &definition.Provider{Actions: actions, Known: known}
		}
		return nil
	}
	return groupCommand("workflow", "Check and draw workflow definitions", lint, diagramCommand())
}

func lintWorkflow(source []byte, find definition.Providers) (found []fileFault) {
	faults := append(definition.Lint(source, find), definition.Warnings(source)...)
	slices.SortStableFunc(faults, func(a, b language.Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	for _, f := range faults {
		found = append(found, fileFault{
			Line: f.Line, Column: f.Column, Pointer: f.Pointer, Code: f.Code, Message: f.Message, label: f.Code, warning: f.Code == language.CodeWarning,
		})
	}
	return found
}

func diagramCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "diagram FILE",
		Short: "Draw a workflow definition as a Mermaid flowchart",
		Long: "Prints an Open Workflow document, YAML or JSON, as a Mermaid flowchart, without a running weft. It also draws constructs " +
			"that this version cannot run. FILE - is standard input.\n\n" +
			"Exit codes: 0 success, 1 the document has faults, 2 the file cannot be read.",
		Example: "  weft workflow diagram order.yaml > order.mmd",
		Args:    oneArgument("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			source, err := readSource(cmd.InOrStdin(), args[0])
			if err != nil {
				return usageError{err}
			}
			definition, faults := language.Parse(source)
			if len(faults) > 0 {
				return fmt.Errorf("%s:%d:%d: %s: %s", args[0], faults[0].Line, faults[0].Column, faults[0].Code, faults[0].Message)
			}
			_, err = io.WriteString(cmd.OutOrStdout(), diagram.Definition(definition))
			return err
		},
	}
}
