package consent

import (
	"errors"
	"maps"
	"slices"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// childAges are the ages at which people may consent for themselves, by jurisdiction:
//   - in the EU 16 (GDPR Art. 8(1)), or the age between 13 and 16 that the member state's law has set
//   - in the US 13 (COPPA, 16 CFR 312.2)
//   - in Brazil 12, below which somebody is a child (LGPD Art. 14 with Art. 2 of the Child and Adolescent Statute)
//   - in the United Kingdom 13 (Data Protection Act 2018, section 9)
//   - elsewhere the EU's
var childAges = map[string]int{
	placeEU: 16, defaultPlace: 16, "US": 13, "BR": 12, "GB": 13,
	"AT": 14, "BE": 13, "BG": 14, "CY": 14, "CZ": 15, "DE": 16, "DK": 15, "EE": 13, "ES": 14, "FI": 13, "FR": 15, "GR": 15, "HR": 16, "HU": 16,
	"IE": 16, "IS": 13, "IT": 14, "LI": 16, "LT": 14, "LU": 16, "LV": 13, "MT": 13, "NL": 16, "NO": 13, "PL": 16, "PT": 13, "RO": 16, "SE": 13,
	"SI": 15, "SK": 16,
}

// checkAges returns a mesh.SettingError for each invalid setting of consent.child_ages.
func (c Config) checkAges() error {
	var errs []error
	for _, place := range slices.Sorted(maps.Keys(c.ChildAges)) {
		name := "consent.child_ages." + place
		if !jurisdiction.MatchString(normalPlace(place)) {
			errs = append(errs, mesh.InvalidSetting(name, "must be named by an ISO 3166 code, EU, or default"))
		}
		errs = append(errs, mesh.SettingBetween(name, c.ChildAges[place], 0, 25))
	}
	return errors.Join(errs...)
}

// normalPlace returns the name of a place as the tables have it; environment variables have it in lower case.
func normalPlace(place string) string {
	if place == defaultPlace {
		return place
	}
	return canonicalPlace(place)
}

// consentAge returns the age at which somebody may consent for themselves in a jurisdiction.
func (c Config) consentAge(code string) int {
	ages := maps.Clone(childAges)
	for place, age := range c.ChildAges {
		ages[normalPlace(place)] = age
	}
	for _, place := range append(placesOf(code), defaultPlace) {
		if age, known := ages[place]; known {
			return age
		}
	}
	return ages[defaultPlace]
}

// addAge adds to a record what is known of the user's age, and who consents for the user. A known minor's consent needs a guardian; a refusal
// needs neither.
func (c Config) addAge(record *recordColumns, r subjects.GrantConsentRequest, place string) error {
	record.AgeClass, record.ActedBy = subjects.AgeUnknown, subjects.ActedByUser
	if r.Guardian != nil {
		record.ActedBy = subjects.ActedByGuardian
		record.GuardianName, record.GuardianMethod, record.GuardianEvidence = r.Guardian.Name, r.Guardian.Method, r.Guardian.Evidence
	}
	refused := r.Decision == subjects.DecisionRefused
	if r.Age == nil {
		if c.RequireAge && !refused {
			return subjects.InvalidField("age", "is required")
		}
		return nil
	}
	record.AgeThreshold, record.AgeClass = c.consentAge(place), subjects.AgeOfAge
	if *r.Age < record.AgeThreshold {
		record.AgeClass = subjects.AgeMinor
		if r.Guardian == nil && !refused {
			return subjects.InvalidField("guardian", "is required: the user is younger than %d", record.AgeThreshold)
		}
	}
	return nil
}
