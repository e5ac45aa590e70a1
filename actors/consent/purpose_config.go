package consent

import (
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/weftmesh/weft/actors/langtag"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// PurposeConfig is what data are processed for. A scope has one purpose.
type PurposeConfig struct {
	// Version is raised whenever what users agree to changes. It is part of each record. At least 1; default 1.
	Version int64 `koanf:"version"`
	// Scope is what the purpose's consents allow: one of weft's scopes, or a scope of the operator's own, `x.` and a name.
	Scope string `koanf:"scope"`
	// Description is what the purpose is, in a sentence. Descriptions has it in further languages, by BCP 47 tag.
	Description  string            `koanf:"description"`
	Descriptions map[string]string `koanf:"descriptions"`
	// LegalBasis is the legal basis by jurisdiction: an ISO 3166 code, EU, or default. GDPR: `eu-gdpr:A6-1-a` to `-f`; CCPA:
	// `ccpa:opt-in` and `ccpa:opt-out`; LGPD: `lgpd:7-I` to `lgpd:7-X`.
	LegalBasis map[string]string `koanf:"legal_basis"`
	// DataCategories are terms of the Data Privacy Vocabulary, such as `dpv:ProvidedPersonalData` or `pd:EmailAddress`.
	DataCategories []string `koanf:"data_categories"`
	// Recipients are who gets the data.
	Recipients []string `koanf:"recipients"`
	// Retention is how long the data are kept, in words or as an ISO 8601 duration.
	Retention string `koanf:"retention"`
	// SaleOrShare is `sale` or `share` if the purpose sells personal information, or shares it for cross-context behavioural
	// advertising (CCPA); Global Privacy Control then suppresses it. Only for scopes of the operator's own.
	SaleOrShare string `koanf:"sale_or_share"`
}

// maxPurposes bounds the purposes of an installation.
const maxPurposes = 100

var (
	purposeID    = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)
	ownScope     = regexp.MustCompile(`^x\.[a-z0-9_]+([.][a-z0-9_]+)*$`)
	jurisdiction = regexp.MustCompile(`^(default|[A-Z]{2}(-[A-Z0-9]{1,3})?)$`)
	legalBasis   = regexp.MustCompile(`^(eu-gdpr:A6-1-[a-f]|ccpa:opt-(in|out)|lgpd:7-(I|II|III|IV|V|VI|VII|VIII|IX|X))$`)
	vocabulary   = regexp.MustCompile(`^[a-z][a-z-]*:[A-Za-z][A-Za-z0-9-]*$`)
)

// checkPurposes returns a mesh.SettingError for each invalid setting of consent.purposes.
func (c Config) checkPurposes() error {
	var errs []error
	if len(c.Purposes) > maxPurposes {
		errs = append(errs, mesh.InvalidSetting("consent.purposes", "has %d purposes, and may have %d", len(c.Purposes), maxPurposes))
	}
	scopes := map[string]string{}
	for _, p := range newPurposes(c.Purposes).all {
		if other, taken := scopes[p.Scope]; taken {
			errs = append(errs, mesh.InvalidSetting("consent.purposes."+p.ID+".scope", "is %q, which is the scope of the purpose %s too", p.Scope, other))
		}
		scopes[p.Scope] = p.ID
		if _, configured := c.Purposes[p.ID]; configured {
			errs = append(errs, p.check())
		}
	}
	return errors.Join(errs...)
}

// check returns a mesh.SettingError for each invalid setting of a purpose.
func (p purpose) check() error {
	var errs []error
	fail := func(name, format string, args ...any) {
		errs = append(errs, mesh.InvalidSetting("consent.purposes."+p.ID+name, format, args...))
	}
	if !purposeID.MatchString(p.ID) {
		fail("", "must be a lower-case name of at most 64 letters, digits, _ and -")
	}
	own := ownScope.MatchString(p.Scope) && len(p.Scope) <= maxScope
	if !own && !slices.Contains(subjects.Scopes(), p.Scope) {
		fail(".scope", "is %q, and must be one of weft's scopes, or x. and a name", p.Scope)
	}
	if p.Version < 1 {
		fail(".version", "is %d, and must be at least 1", p.Version)
	}
	if p.Description == "" || len(p.Description) > 1000 {
		fail(".description", "must have 1 to 1000 bytes")
	}
	switch p.SaleOrShare {
	case "":
	case subjects.KindSale, subjects.KindShare:
		if !own {
			fail(".sale_or_share", "is for scopes of your own, such as x.ads")
		}
	default:
		fail(".sale_or_share", "is %q, and must be empty, sale or share", p.SaleOrShare)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Descriptions)) {
		if canonical, ok := langtag.Canonical(name); !ok || canonical != name {
			fail(".descriptions."+name, "must be named by a BCP 47 tag in its canonical form, such as en or de-CH")
		}
	}
	for _, where := range slices.Sorted(maps.Keys(p.LegalBasis)) {
		switch basis := p.LegalBasis[where]; {
		case !jurisdiction.MatchString(where):
			fail(".legal_basis."+where, "must be named by an ISO 3166 code in capitals, EU, or default")
		case !legalBasis.MatchString(basis):
			fail(".legal_basis."+where, "is %q, and must be eu-gdpr:A6-1-a to f, ccpa:opt-in, ccpa:opt-out, or lgpd:7-I to X", basis)
		}
	}
	for _, term := range p.DataCategories {
		if !vocabulary.MatchString(term) {
			fail(".data_categories", "has %q, and must have terms such as dpv:ProvidedPersonalData", strings.ToValidUTF8(term, "?"))
		}
	}
	return errors.Join(errs...)
}
