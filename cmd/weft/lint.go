package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// maxSource bounds a file that a lint command reads, in bytes. It exceeds every limit of weft for such files.
const maxSource = 4 << 20

// fileFault is a fault in a file. Line and Column count from 1; both are 0 if the position is unknown.
type fileFault struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Pointer string `json:"pointer"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
	// label precedes the message in text output.
	label string
	// warning: it is printed, and is no fault.
	warning bool
}

// lintExitCodes ends the help of every lint command.
const lintExitCodes = "FILE - is standard input.\n\nExit codes: 0 no faults, 1 faults, 2 a file cannot be read."

// lintCommand completes cmd to a command that prints the faults that check finds in files.
func lintCommand(cmd *cobra.Command, check func(file string, source []byte) []fileFault) *cobra.Command {
	cmd.Use = "lint FILE…"
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usageError{fmt.Errorf("%s requires at least one file", cmd.CommandPath())}
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		asJSON, err := cmd.Flags().GetBool("json")
		if err != nil {
			return err
		}
		found, err := lint(cmd.InOrStdin(), args, check)
		if e := printFaults(cmd.OutOrStdout(), found, asJSON); e != nil {
			return e
		}
		faults := 0
		for _, f := range found {
			if !f.warning {
				faults++
			}
		}
		switch {
		case err != nil:
			return usageError{err}
		case faults == 1:
			return errors.New("1 fault")
		case faults > 1:
			return fmt.Errorf("%d faults", faults)
		}
		return nil
	}
	cmd.Flags().Bool("json", false, "print the faults as a JSON array")
	return cmd
}

// lint checks every readable file. unread names the files that cannot be read.
func lint(stdin io.Reader, files []string, check func(string, []byte) []fileFault) (found []fileFault, unread error) {
	for _, file := range files {
		source, err := readSource(stdin, file)
		if err != nil {
			unread = errors.Join(unread, err)
			continue
		}
		for _, fault := range check(file, source) {
			fault.File = file
			found = append(found, fault)
		}
	}
	return found, unread
}

// readSource reads at most maxSource bytes of a file, or of standard input if file is "-".
func readSource(stdin io.Reader, file string) ([]byte, error) {
	reader := stdin
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer func() { _ = opened.Close() }()
		reader = opened
	}
	source, err := io.ReadAll(io.LimitReader(reader, maxSource))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	return source, nil
}

// printFaults prints one fault a line, or all as a JSON array.
func printFaults(w io.Writer, found []fileFault, asJSON bool) error {
	if asJSON {
		if found == nil {
			found = []fileFault{}
		}
		return printJSON(w, found)
	}
	for _, f := range found {
		if _, err := fmt.Fprintf(w, "%s:%d:%d: %s: %s\n", f.File, f.Line, f.Column, f.label, f.Message); err != nil {
			return err
		}
	}
	return nil
}
