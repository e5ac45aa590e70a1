package consent_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/consent"
	"github.com/weftmesh/weft/actors/consent/ledger"
	"github.com/weftmesh/weft/actors/consent/receipt"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// controllerConfig has a controller who has configured everything.
func controllerConfig() consent.Config {
	config := consent.DefaultConfig()
	config.PublicURL = "https://weft.example/"
	config.Controller = consent.ControllerConfig{
		Name: "Acme GmbH", Address: "Weg 1, Berlin", Email: "privacy@acme.example", Phone: "+49 30 1", URL: "https://acme.example", Country: "DE",
		PrivacyPolicy: "https://acme.example/privacy", Authority: consent.ContactConfig{Name: "BlnBDI", URL: "https://authority.example"},
		DPO:              consent.ContactConfig{Name: "D. P. Officer", Email: "dpo@acme.example"},
		StorageLocations: []string{"DE"}, ProcessingLocations: []string{"DE", "FR"}, Transfers: "none", Security: "encryption at rest",
	}
	return config
}

// signedReceipt returns a receipt, verified with the keys that are served.
func (f *fixture) signedReceipt(t *testing.T, as mesh.As, id string) (text []byte, facts receipt.Facts) {
	t.Helper()
	d := call(t, f, subjects.GetReceipt, as, subjects.ReceiptRequest{ConsentRequest: subjects.ConsentRequest{ConsentID: id}})
	if d.ContentType != "application/ld+json" {
		t.Errorf("the type is %s", d.ContentType)
	}
	return d.Body, f.verifiedReceipt(t, d.Body)
}

// verifiedReceipt verifies a receipt with the keys that are served.
func (f *fixture) verifiedReceipt(t *testing.T, text []byte) receipt.Facts {
	t.Helper()
	keys, err := receipt.Keys(call(t, f, subjects.ReceiptKeys, mesh.As{}, subjects.Empty{}).Body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := receipt.Verify(text, keys); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	facts, err := receipt.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	return facts
}

// TestReceipt: a grant's receipt is signed and says that the proof is pending; soon it has the ledger's entry with a proof that verifies with the
// ledger's key alone, and says what the record says. After a revocation it says so. The keys stay the same over a restart.
func TestReceipt(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setupWith(t, database, controllerConfig())
		user := actortest.User()
		ada := f.user(t, user)
		granted := call(t, f, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: subjects.ScopeWorkflowsRead, Purpose: "reports <&>", Jurisdiction: "US-CA"})
		first := f.verifiedReceipt(t, granted.Receipt)
		if first.RecordID != granted.ID || first.Scope != granted.Scope || first.At.Unix() != granted.GrantedAt.Unix() {
			t.Errorf("the grant's receipt says %+v", first)
		}
		var text []byte
		var facts receipt.Facts
		proven := func(change string) func() bool {
			return func() bool {
				text, facts = f.signedReceipt(t, ada, granted.ID)
				return facts.Ledger.Status == receipt.Included && bytes.Contains(text, []byte(change))
			}
		}
		actortest.Eventually(t, "the receipt has a proof", proven("dpv:ConsentGiven"))
		f.verifyProof(t, facts)
		for _, want := range []string{"Acme GmbH", "reports <&>", "US-CA", "https://weft.example/v1/consents/" + granted.ID + "/revoke", "urn:uuid:" + user, "BlnBDI"} {
			if !bytes.Contains(text, []byte(want)) {
				t.Errorf("the receipt does not have %s", want)
			}
		}
		f.stop(t)
		f.start(t)
		call(t, f, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: granted.ID})
		actortest.Eventually(t, "the receipt of the revocation has a proof", proven("dpv:ConsentWithdrawn"))
		f.verifyProof(t, facts)
		if after := f.verifiedReceipt(t, granted.Receipt); after.RecordID != granted.ID {
			t.Error("the first receipt does not verify after the restart")
		}
		eve := f.user(t, actortest.User())
		wantCode(t, f, subjects.CodeNotFound, subjects.GetReceipt, eve, subjects.ReceiptRequest{ConsentRequest: subjects.ConsentRequest{ConsentID: granted.ID}})
	})
}

// verifyProof verifies what a receipt has of the ledger.
func (f *fixture) verifyProof(t *testing.T, facts receipt.Facts) {
	t.Helper()
	key, err := ledger.NewVerifier(strings.TrimSpace(string(call(t, f, subjects.LedgerKey, mesh.As{}, subjects.Empty{}).Body)))
	if err != nil {
		t.Fatal(err)
	}
	l := facts.Ledger
	if _, err := ledger.VerifyEntry(l.Proof, key, l.Entry); err != nil {
		t.Errorf("the proof: %v", err)
	}
	if err := ledger.VerifyText(l.Entry, facts.RecordID, []byte(l.Text), l.Salt); err != nil {
		t.Errorf("the record: %v", err)
	}
	if err := facts.MatchRecord(); err != nil {
		t.Error(err)
	}
	for name, changed := range map[string]func(*receipt.Ledger){
		"entry": func(l *receipt.Ledger) { l.Entry = append(bytes.Clone(l.Entry), ' ') },
		"index": func(l *receipt.Ledger) { l.Proof = strings.Replace(l.Proof, "index ", "index 9", 1) },
		"root":  func(l *receipt.Ledger) { l.Proof = strings.Replace(l.Proof, "\n\n", "\n\nx", 1) },
		"head":  func(l *receipt.Ledger) { l.Proof = "x" + l.Proof },
		"text":  func(l *receipt.Ledger) { l.Text += " " },
		"salt":  func(l *receipt.Ledger) { l.Salt = nil },
	} {
		other := facts.Ledger
		changed(&other)
		_, err := ledger.VerifyEntry(other.Proof, key, other.Entry)
		if err == nil {
			err = ledger.VerifyText(other.Entry, facts.RecordID, []byte(other.Text), other.Salt)
		}
		if err == nil {
			t.Errorf("it verifies with another %s", name)
		}
	}
	for name, other := range map[string]receipt.Facts{
		"consent": {RecordID: actortest.User(), Scope: facts.Scope, At: facts.At, ExpiresAt: facts.ExpiresAt, Ledger: l},
		"scope":   {RecordID: facts.RecordID, Scope: "x", At: facts.At, ExpiresAt: facts.ExpiresAt, Ledger: l},
		"time":    {RecordID: facts.RecordID, Scope: facts.Scope, At: facts.At.Add(time.Hour), ExpiresAt: facts.ExpiresAt, Ledger: l},
	} {
		if other.MatchRecord() == nil {
			t.Errorf("a receipt of another %s matches the record", name)
		}
	}
}

// TestReceiptKeyIsReplaced: without the keyset a new key signs, and what the old one has signed verifies all the same.
func TestReceiptKeyIsReplaced(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0])
	ada := f.user(t, actortest.User())
	old := f.grant(t, ada, subjects.ScopeWorkflowsRead)
	f.stop(t)
	f.keyset = t.TempDir() + "/keyset"
	f.start(t)
	f.verifiedReceipt(t, old.Receipt)
	text, _ := f.signedReceipt(t, ada, old.ID)
	var a, b struct {
		Proof struct {
			Method string `json:"verificationMethod"`
		} `json:"proof"`
	}
	if json.Unmarshal(old.Receipt, &a) != nil || json.Unmarshal(text, &b) != nil || a.Proof.Method == b.Proof.Method {
		t.Errorf("signed with %s and %s", a.Proof.Method, b.Proof.Method)
	}
}

// kantaraSchema is the JSON Schema of the Kantara Consent Receipt Specification 1.1.0 (§4.8), as far as it names required members and types.
const kantaraSchema = `{"type": "object",
	"required": ["version", "jurisdiction", "consentTimestamp", "collectionMethod", "consentReceiptID", "piiPrincipalId", "piiControllers", "policyUrl",
		"services", "sensitive", "spiCat"],
	"properties": {"version": {"const": "KI-CR-v1.1.0"}, "consentTimestamp": {"type": "integer"}, "sensitive": {"type": "boolean"},
		"spiCat": {"type": "array", "items": {"type": "string"}},
		"piiControllers": {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["piiController", "contact", "address", "email", "phone"],
			"properties": {"address": {"type": "object"}, "onBehalf": {"type": "boolean"}}}},
		"services": {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["service", "purposes"], "properties": {
			"purposes": {"type": "array", "minItems": 1, "items": {"type": "object",
				"required": ["consentType", "purposeCategory", "piiCategory", "termination", "thirdPartyDisclosure"],
				"if": {"properties": {"thirdPartyDisclosure": {"const": true}}}, "then": {"required": ["thirdPartyName"]},
				"properties": {"consentType": {"type": "string", "minLength": 1}, "thirdPartyName": {"minLength": 1}}}}}}}}}`

// TestKantaraReceipt: the receipt in Kantara's format has what its specification requires, with and without third parties.
func TestKantaraReceipt(t *testing.T) {
	t.Parallel()
	compiler := jsonschema.NewCompiler()
	schema, err := jsonschema.UnmarshalJSON(strings.NewReader(kantaraSchema))
	if err == nil {
		err = compiler.AddResource("kantara.json", schema)
	}
	if err != nil {
		t.Fatal(err)
	}
	judge := compiler.MustCompile("kantara.json")
	for _, config := range []consent.Config{controllerConfig(), consent.DefaultConfig()} {
		f := setupWith(t, actortest.Databases(t)[0], config)
		ada := f.user(t, actortest.User())
		for scope, disclosed := range map[string]bool{subjects.ScopeWorkflowsRead: false, subjects.ScopeWorkflowsExecute: true} {
			c := f.grant(t, ada, scope)
			d := call(t, f, subjects.GetReceipt, ada, subjects.ReceiptRequest{ConsentRequest: subjects.ConsentRequest{ConsentID: c.ID}, Format: "kantara"})
			document, err := jsonschema.UnmarshalJSON(bytes.NewReader(d.Body))
			if err == nil {
				err = judge.Validate(document)
			}
			if err != nil || strings.Contains(string(d.Body), `"thirdPartyDisclosure":true`) != disclosed {
				t.Errorf("%v: %s", err, d.Body)
			}
		}
	}
}

// TestExportOfConsents: an export has each consent and refusal once, with its history and a receipt that verifies, in as many parts as its length
// takes, as JSON and as CSV.
func TestExportOfConsents(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, actortest.Quiet())
		ada, eve := f.user(t, actortest.User()), f.user(t, actortest.User())
		want := map[string]int{} // changes by consent
		var last string
		for n := range 70 {
			c := f.grant(t, ada, subjects.ScopeWorkflowsRead)
			want[c.ID]++
			if n > 0 {
				want[last]++ // superseded
			}
			last = c.ID
		}
		call(t, f, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: last, Reason: "=enough"})
		want[last]++
		f.grant(t, eve, subjects.ScopeWorkflowsRead)

		got, parts := map[string]int{}, 0
		for cursor := ""; ; {
			d := call(t, f, subjects.ExportUserConsents, ada, subjects.ExportConsentsRequest{Cursor: cursor})
			page := decodeJSON[struct {
				Items []struct {
					Consent subjects.Consent
					History []subjects.ConsentEntry
					Receipt json.RawMessage
				}
				Next string `json:"next_cursor"`
			}](t, string(d.Body))
			for _, item := range page.Items {
				got[item.Consent.ID] += len(item.History)
				if facts := f.verifiedReceipt(t, item.Receipt); facts.RecordID != item.Consent.ID {
					t.Errorf("the receipt is of %s", facts.RecordID)
				}
			}
			parts++
			if (d.Headers["Link"] == "") != (page.Next == "") {
				t.Errorf("Link is %q, next_cursor %q", d.Headers["Link"], page.Next)
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if parts < 2 || len(got) != len(want) {
			t.Errorf("%d consents in %d parts, want %d", len(got), parts, len(want))
		}
		d := call(t, f, subjects.ExportUserConsents, ada, subjects.ExportConsentsRequest{Format: "csv"})
		rows, err := csv.NewReader(bytes.NewReader(d.Body)).ReadAll()
		if err != nil || len(rows) < 10 || rows[0][0] != "consent_id" || !strings.HasPrefix(d.Headers["Link"], "</v1/consents/export?cursor=") {
			t.Errorf("CSV: %d rows, Link %q, %v", len(rows), d.Headers["Link"], err)
		}
		for id, n := range want {
			if got[id] != n {
				t.Errorf("%s has %d changes, want %d", id, got[id], n)
			}
		}
	})
}

// TestProcessingRecords: the record of processing activities has every purpose and what is processed without consent, says what is not configured,
// and is for admins alone.
func TestProcessingRecords(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]consent.Config{"full": controllerConfig(), "bare": consent.DefaultConfig()} {
		f := setupWith(t, actortest.Databases(t)[0], config)
		admin := mesh.As{Token: f.mesh.Token(t, actortest.User(), actortest.WithRoles(subjects.RoleAdmin))}
		wantCode(t, f, subjects.CodeForbidden, subjects.ListProcessingRecords, f.user(t, actortest.User()), subjects.Empty{})
		records := call(t, f, subjects.ListProcessingRecords, admin, subjects.Empty{})
		if len(records.Items) != len(subjects.Scopes())+4 {
			t.Errorf("%d activities", len(records.Items))
		}
		for _, item := range records.Items {
			if item.Purpose == "" || item.Retention == "" || len(item.LegalBasis) == 0 || len(item.DataCategories) == 0 || len(item.Recipients) == 0 ||
				len(item.DataSubjects) == 0 {
				t.Errorf("%s is incomplete: %+v", item.ID, item)
			}
		}
		if full := name == "full"; records.StorageLocations == nil || full != (len(records.Missing) == 0) || full != (records.DPO != nil) || full && records.Controller.Name != "Acme GmbH" {
			t.Errorf("%s: %+v", name, records)
		}
	}
}

// TestControllerSettings: each wrong setting of the controller is named.
func TestControllerSettings(t *testing.T) {
	t.Parallel()
	for setting, change := range map[string]func(*consent.ControllerConfig){
		"country":              func(c *consent.ControllerConfig) { c.Country = "Germany" },
		"storage_locations":    func(c *consent.ControllerConfig) { c.StorageLocations = []string{"de"} },
		"processing_locations": func(c *consent.ControllerConfig) { c.ProcessingLocations = []string{""} },
		"url":                  func(c *consent.ControllerConfig) { c.URL = "acme" },
		"authority.url":        func(c *consent.ControllerConfig) { c.Authority.URL = "ftp://x" },
		"security":             func(c *consent.ControllerConfig) { c.Security = strings.Repeat("x", 2001) },
	} {
		config := controllerConfig()
		change(&config.Controller)
		if err := config.Check(); err == nil || !strings.Contains(err.Error(), "consent.controller."+setting) {
			t.Errorf("%s: %v", setting, err)
		}
	}
}
