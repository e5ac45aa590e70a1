package ledger

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Key is the log's identity: its origin and its Ed25519 key.
type Key struct{ signer note.Signer }

// Origin is the first line of each checkpoint and the name of the key.
func (k Key) Origin() string { return k.signer.Name() }

// newKey makes a key. The secret is its signer key, to be sealed.
func newKey(origin string) (secret, verifier string, err error) {
	if secret, verifier, err = note.GenerateKey(rand.Reader, origin); err != nil {
		return "", "", fmt.Errorf("making the ledger's key: %w", err)
	}
	return secret, verifier, nil
}

func openKey(secret string) (Key, error) {
	signer, err := note.NewSigner(secret)
	if err != nil {
		return Key{}, errors.New("the ledger's key is invalid")
	}
	return Key{signer}, nil
}

// checkpointText is the body of a checkpoint (C2SP tlog-checkpoint, Note text).
func checkpointText(origin string, tree tlog.Tree) string {
	return fmt.Sprintf("%s\n%d\n%s\n", origin, tree.N, tree.Hash)
}

// sign returns the signed checkpoint of a tree. The signature is deterministic.
func (k Key) sign(tree tlog.Tree) ([]byte, error) {
	signed, err := note.Sign(&note.Note{Text: checkpointText(k.Origin(), tree)}, k.signer)
	if err != nil {
		return nil, fmt.Errorf("signing a checkpoint: %w", err)
	}
	return signed, nil
}

// errCheckpoint is the error for a checkpoint that does not verify.
var errCheckpoint = errors.New("the checkpoint does not verify")

// openCheckpoint verifies a checkpoint with the log's key, and with those of witnesses of which at least quorum must have signed.
func openCheckpoint(signed []byte, logKey note.Verifier, witnesses []note.Verifier, quorum int) (tlog.Tree, error) {
	n, err := note.Open(signed, note.VerifierList(append([]note.Verifier{logKey}, witnesses...)...))
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("%w: %w", errCheckpoint, err)
	}
	byLog, cosigned := false, 0
	for _, s := range n.Sigs {
		if s.Name == logKey.Name() && s.Hash == logKey.KeyHash() {
			byLog = true
		} else {
			cosigned++
		}
	}
	if !byLog {
		return tlog.Tree{}, fmt.Errorf("%w: it is not signed by %s", errCheckpoint, logKey.Name())
	}
	if cosigned < quorum {
		return tlog.Tree{}, fmt.Errorf("%w: %d witnesses have signed it, and %d are required", errCheckpoint, cosigned, quorum)
	}
	origin, _, _ := strings.Cut(n.Text, "\n")
	if origin != logKey.Name() {
		return tlog.Tree{}, fmt.Errorf("%w: its origin is %q", errCheckpoint, origin)
	}
	return parseTree(n.Text)
}

// parseTree reads the tree of a checkpoint's body.
func parseTree(text string) (tlog.Tree, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return tlog.Tree{}, fmt.Errorf("%w: it has extension lines or too few lines", errCheckpoint)
	}
	var size int64
	if _, err := fmt.Sscanf(lines[1], "%d", &size); err != nil || size < 0 || fmt.Sprint(size) != lines[1] {
		return tlog.Tree{}, fmt.Errorf("%w: its size is %q", errCheckpoint, lines[1])
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("%w: its root is %q", errCheckpoint, lines[2])
	}
	return tlog.Tree{N: size, Hash: root}, nil
}

// algorithmCosignature is the algorithm of a witness's verifier key (C2SP tlog-cosignature, Format).
const algorithmCosignature = 0x04

// cosigner verifies the cosignatures of one witness: Ed25519 with a timestamp (C2SP tlog-cosignature, Ed25519 signed message).
type cosigner struct {
	name   string
	hash   uint32
	verify func(message, signature []byte) bool
}

// NewCosigner returns the verifier of a witness's verifier key.
func NewCosigner(vkey string) (note.Verifier, error) {
	name, rest, _ := strings.Cut(vkey, "+")
	id, key, _ := strings.Cut(rest, "+")
	raw, err := decodeBase64(key)
	if err != nil || len(raw) != 33 || raw[0] != algorithmCosignature {
		return nil, errors.New("not the verifier key of a witness: it must be name+id+key with the algorithm 4 (Ed25519 cosignature)")
	}
	sum := sha256.Sum256(append([]byte(name+"\n"), raw...))
	hash := binary.BigEndian.Uint32(sum[:4])
	if fmt.Sprintf("%08x", hash) != id || name == "" || strings.ContainsAny(name, " \n") {
		return nil, errors.New("the verifier key's id does not match its name and key")
	}
	return &cosigner{name: name, hash: hash, verify: ed25519Verifier(raw[1:])}, nil
}

// Name is the witness's name.
func (c *cosigner) Name() string { return c.name }

// KeyHash is the id of the witness's key.
func (c *cosigner) KeyHash() uint32 { return c.hash }

// Verify verifies a cosignature of the body of a checkpoint.
func (c *cosigner) Verify(message, signature []byte) bool {
	if len(signature) != 8+64 {
		return false
	}
	at := binary.BigEndian.Uint64(signature)
	signed := fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, message)
	return at < 1<<63 && c.verify(signed, signature[8:])
}
