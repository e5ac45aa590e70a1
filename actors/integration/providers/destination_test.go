package providers_test

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"testing"

	"github.com/weftmesh/weft/actors/integration/manifest"
)

// otherSettings are values that a user may choose for a setting that decides a host.
var otherSettings = []any{
	"attacker.example", "attacker.example:8443", "attacker", "attacker.salesforce.com", "https://attacker.example", "https://attacker.pipedrive.com",
	"https://attacker.salesforce.com", "us1", "us-east-9", "eu", true, "0f0f0f0f-0f0f-0f0f-0f0f-0f0f0f0f0f0f", "X-Attacker",
}

// variants returns valid settings of a case in which one setting of a name has another value.
func variants(p *manifest.Provider, settings map[string]any, name string) []map[string]any {
	var found []map[string]any
	for _, value := range otherSettings {
		changed := maps.Clone(settings)
		if changed == nil {
			changed = map[string]any{}
		}
		changed[name] = value
		if p.ValidateSettings(changed, nil) == nil && !reflect.DeepEqual(settings[name], value) {
			found = append(found, changed)
		}
	}
	return found
}

func settingNames(p *manifest.Provider) []string {
	properties, _ := p.Settings["properties"].(map[string]any)
	return slices.Sorted(maps.Keys(properties))
}

// originPattern is the part of a URL before its path.
var originPattern = regexp.MustCompile(`^[^/]+//[^/]+`)

// TestSettingsThatDecideOAuthHosts tests in every manifest that an OAuth address whose host a setting decides is reported as such, so
// that the operator's client is not used there. A literal address is never another one.
func TestSettingsThatDecideOAuthHosts(t *testing.T) {
	t.Parallel()
	loaded, err := loadAll()
	if err != nil {
		t.Fatal(err)
	}
	decided := map[string]bool{}
	for _, id := range providerIDs(t) {
		c, p := caseOf(t, id), loaded[id]
		for _, m := range p.Auth {
			usual, err := m.OAuthAddresses(c.Connection.Settings)
			if err != nil {
				t.Errorf("%s %s: %v", id, m.ID, err)
			}
			for _, name := range settingNames(p) {
				for _, settings := range variants(p, c.Connection.Settings, name) {
					changed, err := m.OAuthAddresses(settings)
					if err != nil {
						continue // no request can be built
					}
					for i, address := range changed {
						other := originPattern.FindString(address.URL.String()) != originPattern.FindString(usual[i].URL.String())
						decided[id] = decided[id] || other
						if other && (!address.Settings || address.Literal) || address.Literal && (address.Settings || other) {
							t.Errorf("%s %s: with %s = %v: %+v", id, m.ID, name, settings[name], address)
						}
					}
				}
			}
		}
	}
	if got, want := slices.Sorted(maps.Keys(decided)), []string{"gitlab", "mattermost", "salesforce", "sentry", "shopify", "zendesk"}; !containsAll(decided, want) {
		t.Errorf("settings decide an OAuth host of %v, want at least %v", got, want)
	}
}

func containsAll(set map[string]bool, names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return !set[name] })
}

// TestSettingsThatDecideDestinations tests in every manifest, for every authentication method, that a setting which occurs in a base
// URL, in hosts, in an OAuth URL or in the name of a header or query parameter changes the connection's destination, so that the
// stored credentials are not sent there.
func TestSettingsThatDecideDestinations(t *testing.T) {
	t.Parallel()
	loaded, err := loadAll()
	if err != nil {
		t.Fatal(err)
	}
	mention := regexp.MustCompile(`\.settings\.([a-z_]+)`)
	for _, id := range providerIDs(t) {
		c, p := caseOf(t, id), loaded[id]
		m, err := manifest.Parse([]byte(source(t, id)))
		if err != nil {
			t.Fatal(err)
		}
		for i, method := range p.Auth {
			texts := append([]string{m.BaseURL, m.Auth[i].Name}, m.Hosts...)
			texts = append(texts, slices.Collect(maps.Values(m.BaseURLs))...)
			if o := m.Auth[i].OAuth2; o != nil {
				texts = append(texts, o.AuthorizeURL, o.TokenURL, o.RefreshURL, o.RevokeURL)
			}
			if j := m.Auth[i].JWT; j != nil {
				texts = append(texts, j.TokenURL)
			}
			conn := manifest.Connection{Auth: method.ID, Settings: c.Connection.Settings, Credentials: c.Connection.Credentials}
			for _, text := range texts {
				for _, found := range mention.FindAllStringSubmatch(text, -1) {
					if !anyDiffers(p, conn, found[1]) {
						t.Errorf("%s %s: no value of %s changes the destination %+v", id, method.ID, found[1], p.Destination(conn))
					}
				}
			}
		}
	}
}

func anyDiffers(p *manifest.Provider, conn manifest.Connection, name string) bool {
	return slices.ContainsFunc(variants(p, conn.Settings, name), func(settings map[string]any) bool {
		changed := conn
		changed.Settings = settings
		return p.Destination(changed) != p.Destination(conn)
	})
}
