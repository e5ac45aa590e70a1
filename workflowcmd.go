package main

import (
	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/actors/workflow"
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
	}, lintWorkflow))
	return cmd
}

func lintWorkflow(_ string, source []byte) (found []fileFault) {
	for _, f := range workflow.Lint(source) {
		found = append(found, fileFault{Line: f.Line, Column: f.Column, Pointer: f.Pointer, Code: f.Code, Message: f.Message, kind: f.Code})
	}
	return found
}
