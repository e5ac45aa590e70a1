package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/actors/workflow/definition"
	"github.com/weftmesh/weft/actors/workflow/diagram"
	"github.com/weftmesh/weft/actors/workflow/language"
)

func workflowCommand() *cobra.Command {
	lint := lintCommand(&cobra.Command{
		Short: "Check workflow definitions",
		Long: "Checks Open Workflow documents, YAML or JSON, as create_workflow does, without a running weft. Each fault is printed on a " +
			"line: file:line:column: code: message. " + lintExitCodes,
		Example: "  weft workflow lint order.yaml\n  weft workflow lint workflows/*.yaml\n" +
			"  weft workflow lint --json order.yaml | jq -r '.[].pointer'",
	}, lintWorkflow)
	return groupCommand("workflow", "Check and draw workflow definitions", lint, diagramCommand())
}

func lintWorkflow(_ string, source []byte) (found []fileFault) {
	for _, f := range definition.Lint(source) {
		found = append(found, fileFault{Line: f.Line, Column: f.Column, Pointer: f.Pointer, Code: f.Code, Message: f.Message, label: f.Code})
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
