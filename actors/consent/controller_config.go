package consent

import (
	"errors"
	"net/url"
	"regexp"

	"github.com/weftmesh/weft/actors/consent/receipt"
	"github.com/weftmesh/weft/mesh"
)

// ControllerConfig is who is responsible for the processing (GDPR Art. 4(7)). Receipts and the record of processing activities have it; what is
// empty is not stated there.
type ControllerConfig struct {
	// Name is the legal name. Default: the issuer.
	Name string `koanf:"name"`
	// Address is the postal address.
	Address string `koanf:"address"`
	Email   string `koanf:"email"`
	Phone   string `koanf:"phone"`
	// URL is the controller's page.
	URL string `koanf:"url"`
	// Country is where the controller is established, an ISO 3166 code. It is the jurisdiction of a consent that names none.
	Country string `koanf:"country"`
	// PrivacyPolicy is the URL of the privacy policy.
	PrivacyPolicy string `koanf:"privacy_policy"`
	// DPO is the data protection officer, Representative the one in the Union (GDPR Art. 27), and Authority the supervisory authority.
	DPO            ContactConfig `koanf:"dpo"`
	Representative ContactConfig `koanf:"representative"`
	Authority      ContactConfig `koanf:"authority"`
	// StorageLocations and ProcessingLocations are where data are stored and processed: ISO 3166 codes, or EU.
	StorageLocations    []string `koanf:"storage_locations"`
	ProcessingLocations []string `koanf:"processing_locations"`
	// GeographicRestrictions are rules about where data may be processed, in words.
	GeographicRestrictions string `koanf:"geographic_restrictions"`
	// Transfers are transfers to third countries with their safeguards (GDPR Art. 30(1)(e)), Security the technical and organisational measures (Art. 30(1)(g)).
	Transfers string `koanf:"transfers"`
	Security  string `koanf:"security"`
}

// ContactConfig is somebody to turn to.
type ContactConfig struct {
	// Name is the name of the person or the office.
	Name string `koanf:"name"`
	// Address is the postal address.
	Address string `koanf:"address"`
	// Email is the e-mail address.
	Email string `koanf:"email"`
	// URL is the page.
	URL string `koanf:"url"`
}

var place = regexp.MustCompile(`^[A-Z]{2}(-[A-Z0-9]{1,3})?$`)

// maxControllerText bounds each setting of the controller in bytes.
const maxControllerText = 2000

func (c ControllerConfig) check() error {
	var errs []error
	fail := func(name, format string, args ...any) {
		errs = append(errs, mesh.InvalidSetting("consent.controller."+name, format, args...))
	}
	if c.Country != "" && !place.MatchString(c.Country) {
		fail("country", "is %q, and must be an ISO 3166 code in capitals", c.Country)
	}
	for name, list := range map[string][]string{"storage_locations": c.StorageLocations, "processing_locations": c.ProcessingLocations} {
		for _, code := range list {
			if !place.MatchString(code) {
				fail(name, "has %q, and must have ISO 3166 codes in capitals", code)
			}
		}
	}
	for name, address := range map[string]string{
		"url": c.URL, "privacy_policy": c.PrivacyPolicy, "dpo.url": c.DPO.URL, "representative.url": c.Representative.URL, "authority.url": c.Authority.URL,
	} {
		u, err := url.Parse(address)
		if address != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
			fail(name, "is %q, and must be a URL", address)
		}
	}
	for name, text := range map[string]string{
		"name": c.Name, "address": c.Address, "email": c.Email, "phone": c.Phone, "geographic_restrictions": c.GeographicRestrictions,
		"transfers": c.Transfers, "security": c.Security,
	} {
		if len(text) > maxControllerText {
			fail(name, "has %d bytes, and may have %d", len(text), maxControllerText)
		}
	}
	return errors.Join(errs...)
}

// party is the controller as receipts name it.
func (c ControllerConfig) party(issuer string) receipt.Party {
	p := receipt.Party{ID: "_:controller", Name: c.Name, Address: c.Address, Email: c.Email, Phone: c.Phone, URL: c.URL}
	if c.URL != "" {
		p.ID = c.URL
	}
	if p.Name == "" {
		p.Name = issuer
	}
	return p
}

// party is a contact as receipts name it.
func (c ContactConfig) party(id string) receipt.Party {
	p := receipt.Party{ID: id, Name: c.Name, Address: c.Address, Email: c.Email, URL: c.URL}
	if c.URL != "" {
		p.ID = c.URL
	}
	return p
}
