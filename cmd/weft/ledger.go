package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/weftmesh/weft/actors/consent/ledger"
)

func ledgerCommand() *cobra.Command {
	return groupCommand("ledger", "Export and verify the ledger of consents", ledgerVerifyCommand(), ledgerVerifyReceiptCommand(), ledgerExportCommand())
}

// ledgerChecks are the flags of `weft ledger verify`.
type ledgerChecks struct {
	key, earlier string
	witnesses    []string
	quorum       int
	records      bool
}

func ledgerVerifyCommand() *cobra.Command {
	var o ledgerChecks
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify URL|DIRECTORY",
		Short: "Verify the ledger, and name the first entry that was changed",
		Long: "Reads the ledger from a running weft, or from a directory that `weft ledger export` has written, and verifies the signature of its " +
			"checkpoint, every entry and every tile. It needs the ledger's public key alone and no access to weft's databases. Get the key " +
			"once, from /v1/consents/ledger/key, and keep it where nobody can change it who can change the ledger.\n\n" +
			"--earlier takes a checkpoint of before: the ledger must have grown from it, so that entries which were removed or replaced are " +
			"detected. --records also verifies the stream and the tables: that each entry and each record of a consent is what the ledger " +
			"commits to. From a running weft that takes an admin's access token, in WEFT_TOKEN.\n\n" +
			"Exit codes: 0 verified, 1 not verified or not readable, 2 wrong usage.",
		Example: "  weft ledger verify https://weft.example --key weft.key\n" +
			"  WEFT_TOKEN=… weft ledger verify https://weft.example --key weft.key --records --earlier checkpoint.2026-01\n" +
			"  weft ledger verify ./export --key weft.key --records",
		Args: oneArgument("URL|DIRECTORY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			source, err := newLedgerSource(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			published, err := o.published(source)
			if err != nil {
				return err
			}
			verified, err := published.Verify()
			if err != nil {
				return fmt.Errorf("the ledger does not verify: %w", err)
			}
			if o.records {
				next, err := source.records(verified.Base)
				if err != nil {
					return err
				}
				if err := verified.VerifyRecords(next); err != nil {
					return fmt.Errorf("the ledger does not verify: %w", err)
				}
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{
					"verified": true, "origin": published.Key.Name(), "entries": verified.Tree.N, "begins_at": verified.Base,
					"root": verified.Tree.Hash.String(), "records": o.records,
				})
			}
			begin := ""
			if verified.Base > 0 {
				begin = fmt.Sprintf("%s: begins at entry %d; those before it were pruned\n", published.Key.Name(), verified.Base)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s%s: %d entries verified, root %s\n",
				begin, published.Key.Name(), verified.Tree.N-verified.Base, verified.Tree.Hash)
			return err
		},
	}
	cmd.Flags().StringVar(&o.key, "key", "", "the ledger's verifier key, or a file that has it (required)")
	cmd.Flags().StringVar(&o.earlier, "earlier", "", "file with a checkpoint of before, from which the ledger must have grown")
	cmd.Flags().StringArrayVar(&o.witnesses, "witness", nil, "verifier key of a witness; repeat it for each")
	cmd.Flags().IntVar(&o.quorum, "quorum", 0, "how many of the witnesses must have cosigned the checkpoint (default all)")
	cmd.Flags().BoolVar(&o.records, "records", false, "also verify the stream and the tables")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return cmd
}

// published returns what the flags say is to be verified.
func (o ledgerChecks) published(source *ledgerSource) (ledger.Published, error) {
	none := ledger.Published{}
	if o.key == "" {
		return none, usageError{errors.New("--key is required: the ledger's verifier key, or a file that has it")}
	}
	text := o.key
	if data, err := os.ReadFile(o.key); err == nil {
		text = string(data)
	}
	key, err := ledger.NewVerifier(strings.TrimSpace(text))
	if err != nil {
		return none, usageError{fmt.Errorf("--key: %w", err)}
	}
	p := ledger.Published{Key: key, Read: source.read, Quorum: o.quorum}
	for _, text := range o.witnesses {
		var witness note.Verifier
		if witness, err = ledger.NewCosigner(text); err != nil {
			return none, usageError{fmt.Errorf("--witness: %w", err)}
		}
		p.Witnesses = append(p.Witnesses, witness)
	}
	if o.quorum < 0 || o.quorum > len(o.witnesses) {
		return none, usageError{fmt.Errorf("--quorum is %d, and must be at most the number of witnesses, %d", o.quorum, len(o.witnesses))}
	}
	if o.quorum == 0 {
		p.Quorum = len(o.witnesses)
	}
	if o.earlier == "" {
		return p, nil
	}
	if p.Earlier, err = os.ReadFile(o.earlier); err != nil {
		return none, usageError{fmt.Errorf("--earlier: %w", err)}
	}
	return p, nil
}

func ledgerExportCommand() *cobra.Command {
	var records bool
	cmd := &cobra.Command{
		Use:   "export URL DIRECTORY",
		Short: "Copy the ledger of a running weft into a directory",
		Long: "Copies the key, the checkpoint, the tiles and the entries of the ledger into a directory, in the layout of C2SP tlog-tiles, which any web server " +
			"can serve. What is there already and cannot have changed is not copied again. --records also copies each entry and what the " +
			"tables have of it, as records.jsonl; that takes an admin's access token, in WEFT_TOKEN.",
		Example: "  weft ledger export https://weft.example ./export\n  WEFT_TOKEN=… weft ledger export https://weft.example ./export --records",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usageError{fmt.Errorf("%s requires two arguments, URL and DIRECTORY, got %q", cmd.CommandPath(), args)}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			source, err := newLedgerSource(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			size, err := source.export(args[1])
			if err == nil && records {
				err = source.exportRecords(filepath.Join(args[1], recordsFile))
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %d entries\n", args[1], size)
			return err
		},
	}
	cmd.Flags().BoolVar(&records, "records", false, "also copy the entries of the stream and their records in the tables")
	return cmd
}

// export copies the ledger into a directory and returns the number of its entries. The checkpoint is written last, so that all that it needs is
// there.
func (s *ledgerSource) export(dir string) (int64, error) {
	checkpoint, err := s.read("checkpoint")
	if err != nil {
		return 0, err
	}
	base, err := s.read("base")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	size, paths, err := ledger.Paths(checkpoint, base)
	if err == nil {
		err = s.exportKey(filepath.Join(dir, "key"))
	}
	if err == nil {
		err = exportBase(dir, checkpoint, base)
	}
	if err != nil {
		return 0, err
	}
	for _, path := range paths {
		file := filepath.Join(dir, filepath.FromSlash(path))
		if _, err := os.Stat(file); err == nil {
			continue
		} else if !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
		data, err := s.read(path)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		if err := writeLedgerFile(file, data); err != nil {
			return 0, err
		}
	}
	return size, writeLedgerFile(filepath.Join(dir, "checkpoint"), checkpoint)
}

// exportBase writes the base of a ledger that was pruned, unless the export has all that comes before it.
func exportBase(dir string, checkpoint, base []byte) error {
	_, paths, err := ledger.Paths(checkpoint, nil)
	if err != nil || len(base) == 0 {
		return err
	}
	_, left, err := ledger.Paths(checkpoint, base)
	if err != nil {
		return err
	}
	remain := make(map[string]bool, len(left))
	for _, path := range left {
		remain[path] = true
	}
	for _, path := range paths {
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(path))); err != nil && !remain[path] {
			return writeLedgerFile(filepath.Join(dir, "base"), base)
		}
	}
	return nil
}

// exportKey writes the ledger's key, unless the export has it. Another key is another ledger.
func (s *ledgerSource) exportKey(file string) error {
	key, err := s.read("key")
	if err != nil {
		return fmt.Errorf("reading the ledger's key: %w", err)
	}
	old, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return writeLedgerFile(file, key)
	case err == nil && !bytes.Equal(old, key):
		return fmt.Errorf("%s is not the key of this ledger: it was replaced by another one", file)
	}
	return err
}

func writeLedgerFile(file string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // it is public
		return err
	}
	if err := os.WriteFile(file+".new", data, 0o644); err != nil { //nolint:gosec // it is public
		return err
	}
	return os.Rename(file+".new", file) // an export that was interrupted leaves no part of a file, which the next one would keep
}
