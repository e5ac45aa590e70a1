package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/weftmesh/weft/actors/consent/ledger"
	"github.com/weftmesh/weft/actors/consent/receipt"
)

// receiptChecks are the flags of `weft ledger verify-receipt`.
type receiptChecks struct{ key, receiptKeys string }

func ledgerVerifyReceiptCommand() *cobra.Command {
	var o receiptChecks
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify-receipt FILE",
		Short: "Verify a receipt of a consent, offline",
		Long: "Verifies the signature of a receipt, from `GET /v1/consents/{consent_id}/receipt`, with the keys that /v1/consents/receipts/keys serves, and " +
			"with the ledger's key that the ledger has recorded the consent: that its entry is in a tree whose root the ledger has signed, and that the " +
			"entry commits to what the receipt says. Get both keys once and keep them: who could change the receipt could change keys beside it.\n\n" +
			"A receipt that was made at once after the change has no proof yet. Its signature is verified, and the exit code is 0; get it again to have the proof.\n\n" +
			"Exit codes: 0 verified, 1 not verified or not readable, 2 wrong usage.",
		Example: "  weft ledger verify-receipt receipt.jsonld --key weft.key --receipt-keys weft-receipts.json",
		Args:    oneArgument("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			facts, entries, err := o.verify(args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{
					"verified": true, "consent_id": facts.RecordID, "scope": facts.Scope, "ledger": facts.Ledger.Status, "entries": entries,
				})
			}
			text := "its proof is pending"
			if facts.Ledger.Status == receipt.Included {
				text = fmt.Sprintf("in the ledger of %d entries", entries)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "consent %s to %s: verified, %s\n", facts.RecordID, facts.Scope, text)
			return err
		},
	}
	cmd.Flags().StringVar(&o.key, "key", "", "the ledger's verifier key, or a file that has it (required)")
	cmd.Flags().StringVar(&o.receiptKeys, "receipt-keys", "", "file with the public keys of receipts (required)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return cmd
}

// verify verifies the receipt in a file. It returns what the receipt says, and the size of the tree that has it.
func (o receiptChecks) verify(file string) (receipt.Facts, int64, error) {
	none := receipt.Facts{}
	key, err := o.ledgerKey()
	if err != nil {
		return none, 0, err
	}
	if o.receiptKeys == "" {
		return none, 0, usageError{errors.New("--receipt-keys is required: a file with the keys that /v1/consents/receipts/keys serves")}
	}
	document, err := os.ReadFile(o.receiptKeys)
	if err != nil {
		return none, 0, usageError{fmt.Errorf("--receipt-keys: %w", err)}
	}
	keys, err := receipt.Keys(document)
	if err != nil {
		return none, 0, usageError{fmt.Errorf("--receipt-keys: %w", err)}
	}
	signed, err := os.ReadFile(file)
	if err != nil {
		return none, 0, err
	}
	if _, err := receipt.Verify(signed, keys); err != nil {
		return none, 0, fmt.Errorf("the receipt does not verify: %w", err)
	}
	facts, err := receipt.Read(signed)
	if err != nil || facts.Ledger.Status == receipt.Pending {
		return facts, 0, err
	}
	tree, err := ledger.VerifyEntry(facts.Ledger.Proof, key, facts.Ledger.Entry)
	if err == nil {
		err = ledger.VerifyText(facts.Ledger.Entry, facts.RecordID, []byte(facts.Ledger.Text), facts.Ledger.Salt)
	}
	if err == nil {
		err = facts.MatchRecord()
	}
	if err != nil {
		return none, 0, fmt.Errorf("the receipt does not verify: %w", err)
	}
	return facts, tree.N, nil
}

// ledgerKey is the ledger's key, from a file or as it is.
func (o receiptChecks) ledgerKey() (note.Verifier, error) {
	if o.key == "" {
		return nil, usageError{errors.New("--key is required: the ledger's verifier key, or a file that has it")}
	}
	text := o.key
	if data, err := os.ReadFile(o.key); err == nil {
		text = string(data)
	}
	key, err := ledger.NewVerifier(strings.TrimSpace(text))
	if err != nil {
		return nil, usageError{fmt.Errorf("--key: %w", err)}
	}
	return key, nil
}
