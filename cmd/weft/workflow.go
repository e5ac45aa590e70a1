package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/actors/workflow"
	"github.com/weftmesh/weft/actors/workflow/diagram"
	"github.com/weftmesh/weft/actors/workflow/language"
)

func workflowCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "workflow", Short: "What an author of workflows needs", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(lintCommand(&cobra.Command{
		Short: "Tell what is wrong with definitions of workflows",
		Long: "Checks Open Workflow documents, YAML or JSON, the way create_workflow does, without a running weft. Each fault is a line: " +
			"file:line:column: code: message. " + lintExits,
		Example: "  weft workflow lint order.yaml\n  weft workflow lint workflows/*.yaml\n" +
			"  weft workflow lint --json order.yaml | jq -r '.[].pointer'",
	}, lintWorkflow), diagramCommand())
	return cmd
}

func lintWorkflow(_ string, source []byte) (found []fileFault) {
	for _, f := range workflow.Lint(source) {
		found = append(found, fileFault{Line: f.Line, Column: f.Column, Pointer: f.Pointer, Code: f.Code, Message: f.Message, kind: f.Code})
	}
	return found
}

func diagramCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "diagram FILE",
		Short: "Draw a definition of a workflow as a Mermaid flowchart",
		Long: "Draws an Open Workflow document, YAML or JSON, as the text of a Mermaid flowchart, without a running weft. A FILE of - is " +
			"the standard input. What this version does not run is drawn as well.\n\n" +
			"Exit codes: 0 drawn, 1 the document has faults, 2 the file cannot be read.",
		Example: "  weft workflow diagram order.yaml > order.mmd",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("%s needs the one file to draw", cmd.CommandPath())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			source, err := readLinted(cmd.InOrStdin(), args[0])
			if err != nil {
				return usageError{err}
			}
			w, faults := language.Parse(source)
			if len(faults) > 0 {
				return fmt.Errorf("%s:%d:%d: %s: %s", args[0], faults[0].Line, faults[0].Column, faults[0].Code, faults[0].Message)
			}
			_, err = io.WriteString(cmd.OutOrStdout(), diagram.Definition(w))
			return err
		},
	}
}
