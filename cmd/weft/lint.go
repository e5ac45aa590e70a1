package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// maxLinted bounds a file that is linted, in bytes: more than any that weft takes may have.
const maxLinted = 4 << 20

// fileFault is a fault of one of the files. Line and Column count from 1; both are 0 where no place is known.
type fileFault struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Pointer string `json:"pointer"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
	// kind is what a line says before the message.
	kind string
}

// lintExits is what a command that lints says of its exit codes.
const lintExits = "A FILE of - is the standard input.\n\nExit codes: 0 no faults, 1 faults, 2 a file cannot be read."

// lintCommand is a command that tells what check finds in files.
func lintCommand(cmd *cobra.Command, check func(file string, source []byte) []fileFault) *cobra.Command {
	cmd.Use = "lint FILE…"
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usageError{fmt.Errorf("%s needs the files to check", cmd.CommandPath())}
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
		switch {
		case err != nil:
			return usageError{err}
		case len(found) == 1:
			return errors.New("1 fault")
		case len(found) > 1:
			return fmt.Errorf("%d faults", len(found))
		}
		return nil
	}
	cmd.Flags().Bool("json", false, "print the faults as a JSON list")
	return cmd
}

// lint checks every file that can be read; the error names those that cannot.
func lint(stdin io.Reader, files []string, check func(string, []byte) []fileFault) (found []fileFault, unread error) {
	for _, file := range files {
		source, err := readLinted(stdin, file)
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

func readLinted(stdin io.Reader, file string) ([]byte, error) {
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
		return printJSON(w, found)
	}
	for _, f := range found {
		if _, err := fmt.Fprintf(w, "%s:%d:%d: %s: %s\n", f.File, f.Line, f.Column, f.kind, f.Message); err != nil {
			return err
		}
	}
	return nil
}
