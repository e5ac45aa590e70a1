package receipt

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
)

// multikey precedes an Ed25519 public key (Controlled Identifiers v1.0, §2.2.2).
var multikey = []byte{0xed, 0x01}

// verificationMethod is a public key in a controller document.
type verificationMethod struct {
	ID         string `json:"id"`
	Type       string `json:"type"`
	Controller string `json:"controller"`
	PublicKey  string `json:"publicKeyMultibase"`
}

// controllerDocument lists the keys that sign receipts (Controlled Identifiers v1.0, §3).
type controllerDocument struct {
	Context   string               `json:"@context"`
	ID        string               `json:"id"`
	Methods   []verificationMethod `json:"verificationMethod"`
	Assertion []string             `json:"assertionMethod"`
}

// MethodID is the id of a key in the document of an id.
func MethodID(document, key string) string { return document + "#" + key }

// Document is the controller document of public keys, by their ids.
func Document(id string, names []string, keys []ed25519.PublicKey) ([]byte, error) {
	d := controllerDocument{Context: "https://www.w3.org/ns/cid/v1", ID: id, Methods: []verificationMethod{}, Assertion: []string{}}
	for i, name := range names {
		method := MethodID(id, name)
		d.Methods = append(d.Methods, verificationMethod{
			ID: method, Type: "Multikey", Controller: id, PublicKey: multibase(append(bytes.Clone(multikey), keys[i]...)),
		})
		d.Assertion = append(d.Assertion, method)
	}
	return json.Marshal(d)
}

// Keys reads a controller document, for Verify.
func Keys(document []byte) (func(id string) (ed25519.PublicKey, error), error) {
	var d controllerDocument
	if err := json.Unmarshal(document, &d); err != nil {
		return nil, fmt.Errorf("reading a controller document: %w", err)
	}
	keys := map[string]ed25519.PublicKey{}
	for _, method := range d.Methods {
		raw, err := fromMultibase(method.PublicKey)
		key, isEd25519 := bytes.CutPrefix(raw, multikey)
		if err != nil || method.Type != "Multikey" || !isEd25519 || len(key) != ed25519.PublicKeySize {
			return nil, errors.New("a controller document has a key that is not a Multikey of Ed25519")
		}
		keys[method.ID] = key
	}
	return func(id string) (ed25519.PublicKey, error) {
		if key, found := keys[id]; found {
			return key, nil
		}
		return nil, fmt.Errorf("%w: it is signed with the key %q, which is not among those given", ErrSignature, id)
	}, nil
}
