package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/actors/workflow"
	"github.com/weftmesh/weft/actors/workflow/language"
)

// maxLinted bounds a file that is linted, in bytes: more than a definition may have.
const maxLinted = 4 << 20

func workflowCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "workflow", Short: "What an author of workflows needs", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(lintCommand())
	return cmd
}

func lintCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lint FILE…",
		Short: "Tell what is wrong with definitions of workflows",
		Long: "Checks Open Workflow documents, YAML or JSON, the way create_workflow does, without a running weft. Each fault is a line: " +
			"file:line:column: code: message. A FILE of - is the standard input.\n\n" +
			"Exit codes: 0 no faults, 1 faults, 2 a file cannot be read.",
		Example: "  weft workflow lint order.yaml\n  weft workflow lint workflows/*.yaml\n" +
			"  weft workflow lint --json order.yaml | jq -r '.[].pointer'",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{fmt.Errorf("%s needs the files to check", cmd.CommandPath())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			asJSON, err := cmd.Flags().GetBool("json")
			if err != nil {
				return err
			}
			found, err := lint(cmd.InOrStdin(), args)
			if e := printFaults(cmd.OutOrStdout(), found, asJSON); e != nil {
				return e
			}
			switch {
			case err != nil:
				return usageError{err}
			case len(found) == 1:
				return errors.New("1 fault")
			case len(found) > 1:
				return fmt.Errorf("%d faults", len(found))
			}
			return nil
		},
	}
	cmd.Flags().Bool("json", false, "print the faults as a JSON list")
	return cmd
}

// fileFault is a fault of one of the files.
type fileFault struct {
	File string `json:"file"`
	language.Fault
}

// lint checks every file that can be read; the error names those that cannot.
func lint(stdin io.Reader, files []string) (found []fileFault, unread error) {
	for _, file := range files {
		source, err := readDefinition(stdin, file)
		if err != nil {
			unread = errors.Join(unread, err)
			continue
		}
		for _, fault := range workflow.Lint(source) {
			found = append(found, fileFault{file, fault})
		}
	}
	return found, unread
}

func readDefinition(stdin io.Reader, file string) ([]byte, error) {
	reader := stdin
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer func() { _ = opened.Close() }()
		reader = opened
	}
	source, err := io.ReadAll(io.LimitReader(reader, maxLinted))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	return source, nil
}

func printFaults(w io.Writer, found []fileFault, asJSON bool) error {
	if asJSON {
		if found == nil {
			found = []fileFault{}
		}
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(found)
	}
	for _, f := range found {
		if _, err := fmt.Fprintf(w, "%s:%d:%d: %s: %s\n", f.File, f.Line, f.Column, f.Code, f.Message); err != nil {
			return err
		}
	}
	return nil
}
