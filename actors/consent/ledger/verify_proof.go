package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// proofHeader is the first line of a proof (C2SP tlog-proof).
const proofHeader = "c2sp.org/tlog-proof@v1"

// maxProofHashes bounds the hashes of an inclusion proof: a tree has at most 2^63 leaves.
const maxProofHashes = 63

var errProof = errors.New("the inclusion proof does not verify")

// VerifyEntry verifies that an inclusion proof (C2SP tlog-proof) proves an entry in a tree that the log's key has signed.
func VerifyEntry(proof string, key note.Verifier, entry []byte) (tlog.Tree, error) {
	none := tlog.Tree{}
	head, checkpoint, found := strings.Cut(proof, "\n\n")
	lines := strings.Split(head, "\n")
	if !found || len(lines) < 2 || len(lines) > 3+maxProofHashes || lines[0] != proofHeader {
		return none, fmt.Errorf("%w: it is not a %s", errProof, proofHeader)
	}
	lines = lines[1:]
	if strings.HasPrefix(lines[0], "extra ") {
		lines = lines[1:]
	}
	if len(lines) == 0 {
		return none, fmt.Errorf("%w: it has no index", errProof)
	}
	text, isIndex := strings.CutPrefix(lines[0], "index ")
	index, err := strconv.ParseInt(text, 10, 64)
	if !isIndex || err != nil || index < 0 || strconv.FormatInt(index, 10) != text {
		return none, fmt.Errorf("%w: its index is %q", errProof, text)
	}
	var hashes tlog.RecordProof
	for _, line := range lines[1:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return none, fmt.Errorf("%w: it has the hash %q", errProof, line)
		}
		hashes = append(hashes, hash)
	}
	tree, err := openCheckpoint([]byte(checkpoint), key, nil, 0)
	if err != nil {
		return none, err
	}
	leaf := leafOf(entry)
	if err := tlog.CheckRecord(hashes, tree.N, tree.Hash, index, tlog.RecordHash(leaf[:])); err != nil {
		return none, fmt.Errorf("%w: %w", errProof, err)
	}
	return tree, nil
}

// VerifyText verifies that an entry commits to a text, with its salt, and is about a consent.
func VerifyText(entry []byte, consentID string, text, salt []byte) error {
	var c committed
	if err := json.Unmarshal(entry, &c); err != nil {
		return fmt.Errorf("reading an entry: %w", err)
	}
	if c.ConsentID != consentID {
		return fmt.Errorf("the entry is about the consent %q, not %q", c.ConsentID, consentID)
	}
	if !bytes.Equal(CommitmentOf(salt, text), c.Commitment) {
		return errors.New("the entry does not commit to the record")
	}
	return nil
}
