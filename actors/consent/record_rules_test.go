package consent

import (
	"strings"
	"testing"

	"github.com/weftmesh/weft/subjects"
)

// ads is a purpose of an operator's own.
func ads() PurposeConfig {
	return PurposeConfig{
		Version: 2, Scope: "x.ads", Description: "Show you ads.", LegalBasis: map[string]string{"EU": "eu-gdpr:A6-1-a", "US-CA": "ccpa:opt-out", "BR": "lgpd:7-IX"},
		DataCategories: []string{"pd:EmailAddress"}, Recipients: []string{"an ad network"}, Retention: "P90D", SaleOrShare: subjects.KindSale,
	}
}

func TestPurposeSettings(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		id     string
		change func(*PurposeConfig)
		names  string // the setting that the error names; empty where there is none
	}{
		"valid":                   {"ads", func(*PurposeConfig) {}, ""},
		"id with a dot":           {"a.ds", func(*PurposeConfig) {}, "consent.purposes.a.ds "},
		"foreign scope":           {"ads", func(p *PurposeConfig) { p.Scope = "ads" }, "consent.purposes.ads.scope "},
		"scope without a name":    {"ads", func(p *PurposeConfig) { p.Scope = "x." }, "consent.purposes.ads.scope "},
		"scope too long":          {"ads", func(p *PurposeConfig) { p.Scope = "x." + strings.Repeat("a", 63) }, "consent.purposes.ads.scope "},
		"scope of a built-in":     {"ads", func(p *PurposeConfig) { p.Scope, p.SaleOrShare = subjects.ScopeWorkflowsRead, "" }, "consent.purposes.ads.scope "},
		"negative version":        {"ads", func(p *PurposeConfig) { p.Version = -1 }, "consent.purposes.ads.version "},
		"no description":          {"ads", func(p *PurposeConfig) { p.Description = "" }, "consent.purposes.ads.description "},
		"unknown kind":            {"ads", func(p *PurposeConfig) { p.SaleOrShare = "gift" }, "consent.purposes.ads.sale_or_share "},
		"no language":             {"ads", func(p *PurposeConfig) { p.Descriptions = map[string]string{"no language": "x"} }, "consent.purposes.ads.descriptions.no language "},
		"unknown basis":           {"ads", func(p *PurposeConfig) { p.LegalBasis = map[string]string{"EU": "eu-gdpr:A6-1-g"} }, "consent.purposes.ads.legal_basis.EU "},
		"place in lower case":     {"ads", func(p *PurposeConfig) { p.LegalBasis = map[string]string{"eu": "eu-gdpr:A6-1-a"} }, "consent.purposes.ads.legal_basis.eu "},
		"no term":                 {"ads", func(p *PurposeConfig) { p.DataCategories = []string{"e-mail"} }, "consent.purposes.ads.data_categories "},
		"sale of a built-in":      {"workflows-read", func(p *PurposeConfig) { *p = PurposeConfig{SaleOrShare: subjects.KindSale} }, "consent.purposes.workflows-read.sale_or_share "},
		"description of built-in": {"workflows-read", func(p *PurposeConfig) { *p = PurposeConfig{Version: 3, Description: "See all."} }, ""},
	} {
		c, p := DefaultConfig(), ads()
		test.change(&p)
		c.Purposes = map[string]PurposeConfig{test.id: p}
		if err := c.Check(); (err == nil) != (test.names == "") || err != nil && !strings.HasPrefix(err.Error(), test.names) {
			t.Errorf("%s: %v, want %q", name, err, test.names)
		}
	}
}

func TestPurposesOverrideAndAdd(t *testing.T) {
	t.Parallel()
	list := newPurposes(map[string]PurposeConfig{"ads": ads(), "workflows-read": {Version: 3, Recipients: []string{"auditors"}}})
	if len(list.all) != len(subjects.Scopes())+1 {
		t.Fatalf("%d purposes", len(list.all))
	}
	p, _ := list.of(subjects.ScopeWorkflowsRead)
	if p.ID != "workflows-read" || p.Version != 3 || p.Recipients[0] != "auditors" || p.Description == "" || p.basisIn("DE") != "eu-gdpr:A6-1-a" {
		t.Errorf("the changed purpose is %+v", p)
	}
	own, known := list.of("x.ads")
	if !known || own.ID != "ads" || own.Version != 2 {
		t.Errorf("the own purpose is %+v", own)
	}
	for place, want := range map[string]string{"US-CA": "ccpa:opt-out", "US-TX": "", "DE": "eu-gdpr:A6-1-a", "NO": "eu-gdpr:A6-1-a", "CH": "", "BR": "lgpd:7-IX", "": ""} {
		if got := own.basisIn(place); got != want {
			t.Errorf("the basis in %q is %q, want %q", place, got, want)
		}
	}
}

func TestAgeOfConsent(t *testing.T) {
	t.Parallel()
	c := DefaultConfig()
	for place, want := range map[string]int{"DE": 16, "AT": 14, "FR": 15, "SE": 13, "US": 13, "US-CA": 13, "BR": 12, "GB": 13, "EU": 16, "JP": 16, "": 16} {
		if got := c.consentAge(place); got != want {
			t.Errorf("%q: %d, want %d", place, got, want)
		}
	}
	c.ChildAges = map[string]int{"de": 14, "default": 18, "US-CA": 18}
	for place, want := range map[string]int{"DE": 14, "AT": 14, "US-CA": 18, "US-TX": 13, "JP": 18, "": 18} {
		if got := c.consentAge(place); got != want {
			t.Errorf("%q with settings: %d, want %d", place, got, want)
		}
	}
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	for _, place := range []string{"Germany", "D"} {
		c.ChildAges = map[string]int{place: 14}
		if err := c.Check(); err == nil || !strings.HasPrefix(err.Error(), "consent.child_ages."+place+" ") {
			t.Errorf("%s: %v", place, err)
		}
	}
	// Every member state is in the table, with an age that Art. 8(1) allows.
	for country := range strings.FieldsSeq(eea) {
		if age := childAges[country]; age < 13 || age > 16 {
			t.Errorf("%s: %d", country, age)
		}
	}
}

func TestGPCRegions(t *testing.T) {
	t.Parallel()
	for region, want := range map[string]bool{"": true, "US": true, "US-CA": true, "US-TX": true, "US-NJ": true, "US-NY": false, "DE": false, "CA": false, "US-XX": false} {
		if got := gpcApplies(region); got != want {
			t.Errorf("%q: %t", region, got)
		}
	}
	if len(gpcRegions) != 11 {
		t.Errorf("%d regions", len(gpcRegions))
	}
}

// TestRecordTextStays: the text of a change does not depend on what happens to the consent after it.
func TestRecordTextStays(t *testing.T) {
	t.Parallel()
	c := consentRow{ID: "c", Status: subjects.ConsentActive, recordColumns: recordColumns{PurposeID: "p", NoticeHash: "h", GuardianName: "g"}}
	text := func(c consentRow, change string) string {
		text, err := recordText(c, entryRow{ID: "e", Change: change})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	granted := text(c, changeGranted)
	for _, field := range []string{`"purpose_id":"p"`, `"notice_hash":"h"`, `"guardian_name":"g"`, `"gpc_conflict":false`, `"method":""`} {
		if !strings.Contains(granted, field) {
			t.Errorf("%s is not committed to: %s", field, granted)
		}
	}
	c.RenewalNotice, c.RenewalAt = "n@2", 5
	renewal := text(c, subjects.ConsentRenewalRequired)
	c.SuppressedAt = 6
	suppressed := text(c, subjects.ConsentGPC)
	c.Status, c.RevokedAt, c.RevokeReason = subjects.ConsentRevoked, 7, "enough"
	for change, want := range map[string]string{changeGranted: granted, subjects.ConsentRenewalRequired: renewal, subjects.ConsentGPC: suppressed} {
		if got := text(c, change); got != want {
			t.Errorf("%s: %s, was %s", change, got, want)
		}
	}
	if end := text(c, subjects.ConsentRevoked); !strings.Contains(end, `"renewal_at":5`) || !strings.Contains(end, `"suppressed_at":6`) {
		t.Errorf("the end is %s", end)
	}
}
