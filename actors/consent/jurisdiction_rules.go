package consent

import "strings"

// Places that stand for more than one country.
const (
	// defaultPlace is everywhere.
	defaultPlace = "default"
	// placeEU is the European Economic Area, in which the GDPR applies.
	placeEU = "EU"
)

// placesOf returns the places that a jurisdiction is in, most specific first: US-CA is in US-CA and US, DE in DE and EU.
func placesOf(code string) []string {
	if code == "" {
		return nil
	}
	places := []string{code}
	country, _, regional := strings.Cut(code, "-")
	if regional {
		places = append(places, country)
	}
	if inEEA(country) {
		places = append(places, placeEU)
	}
	return places
}

// inEEA reports whether a country is in the European Economic Area.
func inEEA(country string) bool {
	return len(country) == 2 && strings.Contains(eea, country+" ")
}

// eea has the countries of the European Economic Area, each followed by a space.
const eea = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK "

// canonicalPlace returns an ISO 3166 code in capitals.
func canonicalPlace(code string) string { return strings.ToUpper(code) }
