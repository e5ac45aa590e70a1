//go:build conformance

package receipt_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/consent/receipt"
)

// vocabulary returns the IRIs that DPV 2.3 and its extension for the GDPR define.
func vocabulary(t *testing.T) map[string]bool {
	t.Helper()
	root := os.Getenv("WEFT_CONFORMANCE")
	if root == "" {
		root = "../../../../shared/conformance"
	}
	known := map[string]bool{}
	for _, name := range []string{"dpv.jsonld", "eu-gdpr.jsonld"} {
		text, err := os.ReadFile(filepath.Join(root, "dpv", name))
		if err != nil {
			t.Fatal(err)
		}
		var nodes []struct {
			ID string `json:"@id"`
		}
		if err := json.Unmarshal(text, &nodes); err != nil {
			t.Fatal(err)
		}
		for _, node := range nodes {
			known[node.ID] = true
		}
	}
	return known
}

// iris calls f with every IRI in an expanded document: properties, types and ids.
func iris(v any, f func(iri string)) {
	switch v := v.(type) {
	case map[string]any:
		if v["@type"] == "@json" {
			return
		}
		for name, value := range v {
			if strings.Contains(name, "://") {
				f(name)
			}
			iris(value, f)
		}
	case []any:
		for _, item := range v {
			iris(item, f)
		}
	case string:
		if strings.HasPrefix(v, "https://w3id.org/dpv") {
			f(v)
		}
	}
}

// TestEveryTermIsInDPV: each IRI of DPV in a receipt is one that DPV's JSON-LD defines; others are of vocabularies that the DPV guide uses.
func TestEveryTermIsInDPV(t *testing.T) {
	t.Parallel()
	known := vocabulary(t)
	others := []string{dct, schema, rdf, skos, "https://w3id.org/security#"}
	inputs := []receipt.Input{full(), bare()}
	for _, category := range []string{"dpv:TargetedAdvertising", "dpv:DirectMarketing", "dpv:Purpose"} {
		in := full()
		in.Purpose.Category = category
		in.Purpose.Data = []string{"dpv:ProvidedPersonalData", "dpv:IdentifyingPersonalData", "dpv:CollectedPersonalData", "dpv:GeneratedPersonalData"}
		inputs = append(inputs, in)
	}
	for _, basis := range []string{"a", "b", "c", "d", "e", "f"} {
		in := bare()
		in.Purpose.LegalBasis = "eu-gdpr:A6-1-" + basis
		inputs = append(inputs, in)
	}
	found := map[string]bool{}
	for _, in := range inputs {
		signed, _ := sign(t, in)
		iris(expand(t, signed), func(iri string) {
			if !strings.HasPrefix(iri, "https://w3id.org/dpv") {
				for _, prefix := range others {
					if strings.HasPrefix(iri, prefix) {
						return
					}
				}
				t.Errorf("%s is of no vocabulary that the guide uses", iri)
				return
			}
			found[iri] = true
			if !known[iri] && iri != receipt.ProfileReceipt && iri != receipt.ProfileRecord {
				t.Errorf("DPV has no %s", iri)
			}
		})
	}
	if len(found) < 60 {
		t.Errorf("only %d terms were found", len(found))
	}
}
