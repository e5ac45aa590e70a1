package receipt_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gowebpki/jcs"
	"github.com/piprate/json-gold/ld"
	"pgregory.net/rapid"

	"github.com/weftmesh/weft/actors/consent/receipt"
)

var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// full is an input that states everything, bare one of which an operator has configured nothing.
func full() receipt.Input {
	in := bare()
	in.Jurisdiction, in.Base, in.Minor, in.Guardian = "DE", "https://weft.example", true, "Byron"
	in.Controller = receipt.Party{
		ID: "https://acme.example", Name: "Acme GmbH", Address: "Weg 1, Berlin", Email: "privacy@acme.example", Phone: "+49 30 1", URL: "https://acme.example",
	}
	in.Authority = receipt.Party{ID: "https://authority.example", Name: "BlnBDI", URL: "https://authority.example"}
	in.StorageLocations, in.ProcessingLocations, in.GeographicRestrictions = []string{"DE", "FR"}, []string{"DE"}, "only in the EEA"
	in.PrivacyPolicy, in.CollectionPlace = "https://acme.example/privacy", "https://app.example/onboarding"
	in.Notice = receipt.Notice{ID: "ads", Version: "3", Hash: strings.Repeat("ab", 32), Language: "de", ServedAt: now}
	in.Purpose = receipt.Purpose{
		ID: "ads", Version: 2, Description: "Ads <&>", Category: "dpv:SellDataToThirdParties", LegalBasis: "ccpa:opt-in",
		Data: []string{"dpv:ProvidedPersonalData", "dpv:SpecialCategoryPersonalData"}, Recipients: []string{"Beta Inc.", "Gamma"}, Retention: "P6M",
	}
	for _, change := range []string{"revoked", "superseded", "renewal_required", "gpc", "expired", "refused"} {
		in.Events = append(in.Events, receipt.Event{Change: change, At: now, ByController: change == "expired", Method: "API"})
	}
	return in
}

func bare() receipt.Input {
	return receipt.Input{
		ReceiptID: "01936f1c-8a57-7c33-9d52-3f1f0c1d2e01", RecordID: "01936f1c-8a57-7c33-9d52-3f1f0c1d2e02", SubjectID: "01936f1c-8a57-7c33-9d52-3f1f0c1d2e03",
		CreatedAt: now, Scope: "workflows.read", Controller: receipt.Party{ID: "_:controller", Name: "weft"}, Authority: receipt.Party{ID: "_:authority"},
		Purpose: receipt.Purpose{ID: "workflows-read", Version: 1, Category: "dpv:ServiceProvision", LegalBasis: "eu-gdpr:A6-1-a"}, Method: "unproven",
		ExpiresAt: now.AddDate(1, 0, 0), Events: []receipt.Event{{Change: "granted", At: now}},
		Ledger: receipt.Ledger{EntryID: "e", Status: receipt.Pending, Text: `{"consent_id":"c"}`, Salt: []byte("salt")},
	}
}

func sign(t testing.TB, in receipt.Input) (signed []byte, keys func(string) (ed25519.PublicKey, error)) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	const id = "https://weft.example/v1/consents/receipts/keys"
	if signed, err = (receipt.Key{ID: receipt.MethodID(id, "k1"), Private: private}).Sign(receipt.Build(in), in.CreatedAt); err != nil {
		t.Fatal(err)
	}
	document, err := receipt.Document(id, []string{"k0", "k1"}, []ed25519.PublicKey{make([]byte, 32), public})
	if err != nil {
		t.Fatal(err)
	}
	if keys, err = receipt.Keys(document); err != nil {
		t.Fatal(err)
	}
	return signed, keys
}

// offline is a loader of JSON-LD that loads nothing: a receipt has its whole context.
type offline struct{ t testing.TB }

func (o offline) LoadDocument(u string) (*ld.RemoteDocument, error) {
	o.t.Errorf("%s would be loaded", u)
	return nil, ld.NewJsonLdError(ld.LoadingDocumentFailed, u)
}

// expand expands a receipt with json-gold.
func expand(t testing.TB, signed []byte) map[string]any {
	t.Helper()
	var document any
	if err := json.Unmarshal(signed, &document); err != nil {
		t.Fatal(err)
	}
	options := ld.NewJsonLdOptions("")
	options.DocumentLoader, options.ProcessingMode = offline{t}, ld.JsonLd_1_1
	expanded, err := ld.NewJsonLdProcessor().Expand(document, options)
	if err != nil || len(expanded) != 1 {
		t.Fatalf("expanding: %d nodes, %v", len(expanded), err)
	}
	node, _ := expanded[0].(map[string]any)
	return node
}

const (
	dpv    = "https://w3id.org/dpv#"
	dct    = "http://purl.org/dc/terms/"
	schema = "https://schema.org/"
	rdf    = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
	skos   = "http://www.w3.org/2004/02/skos/core#"
)

// fields are the fields of ISO/IEC TS 27560:2023 (DPV guide, §7.2), each with its path in an expanded receipt: the 25 that are mandatory there, and
// the 10 that the GDPR makes mandatory.
func fields() map[string][]string {
	record := []string{dpv + "hasRecordOfActivity"}
	of := func(path ...string) []string { return append(slices.Clone(record), path...) }
	process := func(path ...string) []string { return append(of(dpv+"hasProcess"), path...) }
	data := func(path ...string) []string { return append(process(dpv+"hasPersonalData"), path...) }
	party := func(path ...string) []string { return append(of(dpv+"hasEntity"), path...) }
	event := func(path ...string) []string { return append(of(dpv+"hasConsentStatus"), path...) }
	return map[string][]string{
		"schema_version": {dct + "conformsTo"}, "record_id": of(dct + "identifier"), "receipt_id": {dct + "identifier"},
		"pii_principal_id": of(dpv+"hasDataSubject", dct+"identifier"), "privacy_notice": of(dpv+"hasNotice", dct+"identifier"),
		"language": of(dpv+"hasNotice", dct+"language"), "purpose": process(dpv+"hasPurpose", dct+"description"), "pii_information": data(),
		"pii_controllers": of(dpv + "hasDataController"), "storage_locations": process(dpv+"hasStorageCondition", dpv+"hasLocation", dct+"identifier"),
		"retention_period": process(dpv+"hasStorageCondition", dpv+"hasDuration", rdf+"value"), "jurisdiction": of(dpv+"hasJurisdiction", dct+"identifier"),
		"recipient_third_parties": process(dpv+"hasRecipient", dpv+"hasName"), "withdrawal_method": process(dpv+"hasConsentControl", dpv+"isExercisedAt"),
		"pii_type": data(skos + "broader"), "party_id": party(dpv + "hasIdentifier"), "party_address": party(dpv+"hasAddress", schema+"streetAddress"),
		"party_name": party(dpv + "hasName"), "party_contact": party(dpv + "hasContact"), "party_type": party("@type"),
		"event_time": event(dpv + "isIndicatedAtTime"), "validity_duration": event(dpv+"hasDuration", rdf+"value"), "entity_id": event(dpv + "isIndicatedBy"),
		"event_type": process(dpv + "hasLegalBasis"), "event_state": event("@type"),

		"lawful_basis": process(dpv + "hasLegalBasis"), "collection_method": process(dpv + "hasDataSource"), "processing_method": process(dpv + "hasProcessing"),
		"processing_locations":    process(dpv+"hasProcessingCondition", dpv+"hasLocation", dct+"identifier"),
		"geographic_restrictions": process(dpv+"hasRule", dct+"description"), "privacy_rights": process(dpv+"hasRight", dpv+"isExercisedAt"),
		"authority_party": of(dpv + "hasAuthority"), "pii_optional": data(dpv + "hasNecessity"), "party_role": party("@type"),
		"special_pii_category": data(schema+"additionalProperty", schema+"value"),
	}
}

// at returns the values at a path in an expanded node. A list is searched in all its nodes.
func at(node any, path []string) (found []any) {
	if list, isList := node.([]any); isList {
		for _, item := range list {
			found = append(found, at(item, path)...)
		}
		return found
	}
	if len(path) == 0 {
		return []any{node}
	}
	object, _ := node.(map[string]any)
	if value, has := object[path[0]]; has {
		return at(value, path[1:])
	}
	return nil
}

// TestEveryFieldIsInEveryReceipt: each of the 35 fields has a value, whether the operator has configured everything or nothing.
func TestEveryFieldIsInEveryReceipt(t *testing.T) {
	t.Parallel()
	if n := len(fields()); n != 35 {
		t.Fatalf("%d fields, want 35", n)
	}
	for name, in := range map[string]receipt.Input{"full": full(), "bare": bare()} {
		signed, _ := sign(t, in)
		expanded := expand(t, signed)
		for field, path := range fields() {
			values := at(expanded, path)
			if len(values) == 0 || slices.ContainsFunc(values, func(v any) bool {
				object, _ := v.(map[string]any)
				return object["@value"] == ""
			}) {
				t.Errorf("%s: %s at %v is %v", name, field, path, values)
			}
		}
		if profile := at(expanded, []string{dct + "conformsTo", "@id"}); len(profile) != 1 || profile[0] != "https://w3id.org/dpv/schema/dpv-27560#receipt-eu-gdpr" {
			t.Errorf("the profile is %v", profile)
		}
	}
}

// TestFraming: the record is found by its type, with the entities embedded where they are referred to.
func TestFraming(t *testing.T) {
	t.Parallel()
	signed, _ := sign(t, full())
	var document, frame any
	for text, into := range map[string]*any{
		string(signed): &document,
		`{"@context": {"dpv": "` + dpv + `"}, "@type": "dpv:ConsentRecord", "dpv:hasDataController": {"@embed": "@always"}}`: &frame,
	} {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			t.Fatal(err)
		}
	}
	options := ld.NewJsonLdOptions("")
	options.DocumentLoader, options.ProcessingMode = offline{t}, ld.JsonLd_1_1
	framed, err := ld.NewJsonLdProcessor().Frame(document, frame, options)
	if err != nil {
		t.Fatal(err)
	}
	controller, _ := framed["dpv:hasDataController"].(map[string]any)
	if framed["@id"] != "urn:uuid:"+full().RecordID || controller["dpv:hasName"] != "Acme GmbH" {
		t.Errorf("framed %v", framed)
	}
}

// TestSignatures: a receipt verifies with its key, and with a canonicalisation that is not weft's; changed in any value, or signed by another key,
// it does not.
func TestSignatures(t *testing.T) {
	t.Parallel()
	signed, keys := sign(t, full())
	document, err := receipt.Verify(signed, keys)
	if err != nil || document["@type"] != "dpv:ConsentReceipt" || document["proof"] != nil {
		t.Fatalf("verified %v, %v", document["@type"], err)
	}
	verifyForeign(t, signed, keys)
	_, others := sign(t, full())
	if _, err := receipt.Verify(signed, others); err == nil {
		t.Error("it verifies with another key of the same id")
	}
	var paths [][]any
	walk(decode(t, signed), nil, func(path []any) { paths = append(paths, path) })
	for _, path := range paths {
		if changed := change(t, signed, path); changed != nil {
			if _, err := receipt.Verify(changed, keys); err == nil {
				t.Errorf("it verifies with another value at %v", path)
			}
		}
	}
	for name, text := range map[string][]byte{
		"a further member":    bytes.Replace(signed, []byte("{"), []byte(`{"x":1,`), 1),
		"a repeated member":   bytes.Replace(signed, []byte("{"), []byte(`{"@id":"urn:uuid:x",`), 1),
		"without proof":       []byte(`{"@id":"x"}`),
		"no JSON":             signed[:len(signed)-1],
		"nothing":             nil,
		"another proof value": bytes.Replace(signed, []byte(`"proofValue":"z`), []byte(`"proofValue":"m`), 1),
	} {
		if _, err := receipt.Verify(text, keys); err == nil {
			t.Errorf("%s: it verifies", name)
		}
	}
	// The order of members and white space mean nothing.
	var loose any
	if err := json.Unmarshal(signed, &loose); err != nil {
		t.Fatal(err)
	}
	indented, err := json.MarshalIndent(loose, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := receipt.Verify(indented, keys); err != nil {
		t.Errorf("indented: %v", err)
	}
}

// verifyForeign verifies a receipt with another implementation of RFC 8785 and Go's Ed25519.
func verifyForeign(t *testing.T, signed []byte, keys func(string) (ed25519.PublicKey, error)) {
	t.Helper()
	document := decode(t, signed)
	proof, _ := document["proof"].(map[string]any)
	value, _ := proof["proofValue"].(string)
	method, _ := proof["verificationMethod"].(string)
	delete(document, "proof")
	delete(proof, "proofValue")
	var hash []byte
	for _, v := range []any{proof, document} {
		text, err := json.Marshal(v)
		if err == nil {
			text, err = jcs.Transform(text)
		}
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(text)
		hash = append(hash, sum[:]...)
	}
	key, err := keys(method)
	if err != nil || !ed25519.Verify(key, hash, base58(t, value[1:])) {
		t.Errorf("another implementation does not verify it: %v", err)
	}
}

// base58 decodes base58btc by repeated multiplication of bytes.
func base58(t *testing.T, text string) []byte {
	t.Helper()
	var data []byte // little-endian
	for _, c := range text {
		carry := strings.IndexRune("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", c)
		if carry < 0 {
			t.Fatalf("%q is no base58", c)
		}
		for i := range data {
			carry += int(data[i]) * 58
			data[i] = byte(carry)
			carry >>= 8
		}
		for ; carry > 0; carry >>= 8 {
			data = append(data, byte(carry))
		}
	}
	for _, c := range text {
		if c != '1' {
			break
		}
		data = append(data, 0)
	}
	slices.Reverse(data)
	return data
}

func decode(t testing.TB, text []byte) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// walk calls f with the path of each value that has no members.
func walk(v any, path []any, f func(path []any)) {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			walk(v[name], append(slices.Clone(path), name), f)
		}
	case []any:
		for i := range v {
			walk(v[i], append(slices.Clone(path), i), f)
		}
	default:
		f(path)
	}
}

// change returns the receipt with another value at a path.
func change(t *testing.T, signed []byte, path []any) []byte {
	t.Helper()
	document := decode(t, signed)
	var at any = document
	for _, step := range path[:len(path)-1] {
		switch step := step.(type) {
		case string:
			at = at.(map[string]any)[step]
		case int:
			at = at.([]any)[step]
		}
	}
	other := func(v any) any {
		switch v := v.(type) {
		case string:
			return v + "x"
		case bool:
			return !v
		}
		return "x"
	}
	switch step := path[len(path)-1].(type) {
	case string:
		at.(map[string]any)[step] = other(at.(map[string]any)[step])
	case int:
		at.([]any)[step] = other(at.([]any)[step])
	}
	text, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestForeignSignature: the credential that the W3C specification has signed (Data Integrity EdDSA Cryptosuites v1.0, B.3) verifies with its key.
func TestForeignSignature(t *testing.T) {
	t.Parallel()
	signed, err := os.ReadFile("testdata/eddsa-jcs-2022.json")
	if err != nil {
		t.Fatal(err)
	}
	const key = "z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2"
	keys, err := receipt.Keys([]byte(`{"verificationMethod":[{"id":"did:key:` + key + "#" + key + `","type":"Multikey","publicKeyMultibase":"` + key + `"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if document, err := receipt.Verify(signed, keys); err != nil || document["name"] != "Alumni Credential" {
		t.Errorf("%v, %v", document["name"], err)
	}
	if _, err := receipt.Verify(bytes.Replace(signed, []byte("A minimum viable"), []byte("Another"), 1), keys); err == nil {
		t.Error("changed, it verifies")
	}
}

// TestKeysAreRead: every key that Document writes is read back, with leading zeros too; another kind of key is refused.
func TestKeysAreRead(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		key := ed25519.PublicKey(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key"))
		if rapid.Bool().Draw(t, "zeros") {
			clear(key[:8])
		}
		document, err := receipt.Document("https://weft.example/keys", []string{"k"}, []ed25519.PublicKey{key})
		if err != nil {
			t.Fatal(err)
		}
		keys, err := receipt.Keys(document)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := keys("https://weft.example/keys#k"); err != nil || !got.Equal(key) {
			t.Fatalf("%x, %v", got, err)
		}
	})
	for _, key := range []string{"", "z", "zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme", "m6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2", "z0O"} {
		if _, err := receipt.Keys([]byte(`{"verificationMethod":[{"id":"k","type":"Multikey","publicKeyMultibase":"` + key + `"}]}`)); err == nil {
			t.Errorf("%q is read as a key", key)
		}
	}
}
