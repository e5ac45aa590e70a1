package receipt

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// The Data Integrity proof of receipts (W3C Data Integrity EdDSA Cryptosuites v1.0, eddsa-jcs-2022).
const (
	proofType   = "DataIntegrityProof"
	cryptosuite = "eddsa-jcs-2022"
)

// Key signs receipts. ID is the URL of its verification method.
type Key struct {
	ID      string
	Private ed25519.PrivateKey
}

// Sign returns a receipt with the key's proof.
func (k Key) Sign(document map[string]any, created time.Time) ([]byte, error) {
	proof := node{
		"type": proofType, "cryptosuite": cryptosuite, "created": created.UTC().Format("2006-01-02T15:04:05Z"), "verificationMethod": k.ID,
		"proofPurpose": "assertionMethod", "@context": document["@context"],
	}
	hash, err := hashOf(document, proof)
	if err != nil {
		return nil, err
	}
	proof["proofValue"] = multibase(ed25519.Sign(k.Private, hash))
	signed := node{"proof": proof}
	for name, value := range document {
		signed[name] = value
	}
	return marshal(signed)
}

// marshal encodes without escaping characters that only HTML reserves.
func marshal(v any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding a receipt: %w", err)
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}

// canonical encodes by the JSON Canonicalization Scheme (RFC 8785).
func canonical(v any) ([]byte, error) {
	text, err := marshal(v)
	if err != nil {
		return nil, err
	}
	value := jsontext.Value(text)
	if err := value.Canonicalize(); err != nil {
		return nil, fmt.Errorf("canonicalising a receipt: %w", err)
	}
	return value, nil
}

// hashOf is what is signed: the hashes of the proof's options and of the document (§3.3.4).
func hashOf(document, options any) ([]byte, error) {
	config, err := canonical(options)
	if err != nil {
		return nil, err
	}
	data, err := canonical(document)
	if err != nil {
		return nil, err
	}
	first, second := sha256.Sum256(config), sha256.Sum256(data)
	return append(first[:], second[:]...), nil
}

// ErrSignature means that a receipt is not as it was signed, or was signed by another key.
var ErrSignature = errors.New("the receipt's signature does not verify")

// Verify verifies the proof of a receipt (§3.3.2). keys returns the public key of a verification method. The result is the receipt without proof.
func Verify(signed []byte, keys func(id string) (ed25519.PublicKey, error)) (map[string]any, error) {
	if err := noDuplicates(signed); err != nil {
		return nil, err
	}
	var document map[string]json.RawMessage
	if err := json.Unmarshal(signed, &document); err != nil {
		return nil, fmt.Errorf("reading a receipt: %w", err)
	}
	var proof map[string]any
	if err := json.Unmarshal(document["proof"], &proof); err != nil || proof == nil {
		return nil, fmt.Errorf("%w: it has no proof", ErrSignature)
	}
	text, _ := proof["proofValue"].(string)
	method, _ := proof["verificationMethod"].(string)
	if proof["type"] != proofType || proof["cryptosuite"] != cryptosuite || proof["proofPurpose"] != "assertionMethod" {
		return nil, fmt.Errorf("%w: its proof is not an assertion with %s", ErrSignature, cryptosuite)
	}
	signature, err := fromMultibase(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	key, err := keys(method)
	if err != nil {
		return nil, err
	}
	delete(proof, "proofValue")
	delete(document, "proof")
	if context, found := proof["@context"]; found {
		same, err := equal(context, document["@context"])
		if err != nil || !same {
			return nil, errors.Join(fmt.Errorf("%w: its context is another one", ErrSignature), err)
		}
	}
	hash, err := hashOf(document, proof)
	if err != nil {
		return nil, err
	}
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, hash, signature) {
		return nil, ErrSignature
	}
	unsigned := make(map[string]any, len(document))
	for name, raw := range document {
		var value any
		if err := json.Unmarshal(raw, &value); err != nil {
			return nil, fmt.Errorf("reading a receipt: %w", err)
		}
		unsigned[name] = value
	}
	return unsigned, nil
}

// noDuplicates refuses a text with two members of one name: two readers could read different receipts.
func noDuplicates(text []byte) error {
	if !jsontext.Value(text).IsValid() {
		return fmt.Errorf("%w: it is no JSON, or has a member twice", ErrSignature)
	}
	return nil
}

func equal(a, b any) (bool, error) {
	first, err := canonical(a)
	if err != nil {
		return false, err
	}
	second, err := canonical(b)
	return bytes.Equal(first, second), err
}

// base58 is the alphabet of base58btc (Multibase).
const base58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// multibase encodes in base58btc (Controlled Identifiers v1.0, §2.4).
func multibase(data []byte) string {
	n, radix, digit := new(big.Int).SetBytes(data), big.NewInt(int64(len(base58))), new(big.Int)
	var reversed []byte
	for n.Sign() > 0 {
		n.DivMod(n, radix, digit)
		reversed = append(reversed, base58[digit.Int64()])
	}
	for _, b := range data {
		if b != 0 {
			break
		}
		reversed = append(reversed, base58[0])
	}
	text := []byte{'z'}
	for i := len(reversed) - 1; i >= 0; i-- {
		text = append(text, reversed[i])
	}
	return string(text)
}

func fromMultibase(text string) ([]byte, error) {
	const longest = 256
	digits, found := strings.CutPrefix(text, "z")
	if !found || len(digits) > longest {
		return nil, errors.New("a value is not in base58btc")
	}
	n, radix := new(big.Int), big.NewInt(int64(len(base58)))
	for _, c := range []byte(digits) {
		i := strings.IndexByte(base58, c)
		if i < 0 {
			return nil, errors.New("a value is not in base58btc")
		}
		n.Add(n.Mul(n, radix), big.NewInt(int64(i)))
	}
	zeros := len(digits) - len(strings.TrimLeft(digits, base58[:1]))
	return append(make([]byte, zeros), n.Bytes()...), nil
}
