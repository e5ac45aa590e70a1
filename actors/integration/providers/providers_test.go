package providers_test

import (
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/integration/providers"
)

// loadAll is every manifest, loaded once: fifty take a while.
var loadAll = sync.OnceValues(func() (map[string]*manifest.Provider, error) {
	loaded, _, err := manifest.LoadFS(providers.FS)
	return loaded, err
})

func TestEveryManifestLoads(t *testing.T) {
	t.Parallel()
	loaded, faults, err := manifest.LoadFS(providers.FS)
	if err != nil {
		t.Fatal(err)
	}
	for file, fault := range faults {
		t.Errorf("%s:\n%v", file, fault)
	}
	for _, id := range slices.Concat([]string{"slack", "github", "http"}, googleProviders, microsoftProviders) {
		if loaded[id] == nil {
			t.Errorf("there is no provider %s", id)
		}
	}
}

// source is a manifest as it was written.
func source(t *testing.T, provider string) string {
	t.Helper()
	file, err := providers.FS.Open(provider + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// theFifty are the providers that weft promises, by category; http stands beside them.
var theFifty = map[string][]string{
	"communication":         {"discord", "mattermost", "microsoft_teams", "slack", "telegram", "twilio", "zoom"},
	"email_marketing":       {"gmail", "klaviyo", "mailchimp", "outlook_mail", "postmark", "sendgrid"},
	"project_management":    {"asana", "clickup", "jira", "linear", "monday", "trello"},
	"crm_support":           {"freshdesk", "hubspot", "intercom", "pipedrive", "salesforce", "zendesk"},
	"storage_files":         {"aws_s3", "box", "dropbox", "google_drive", "onedrive"},
	"developer_tools":       {"bitbucket", "figma", "github", "gitlab", "pagerduty", "sentry"},
	"calendar_productivity": {"airtable", "calendly", "google_calendar", "google_sheets", "notion"},
	"payments_commerce":     {"paypal", "shopify", "square", "stripe", "xero"},
	"social_analytics":      {"google_analytics", "linkedin", "x_twitter", "youtube"},
}

func TestThereAreTheFifty(t *testing.T) {
	t.Parallel()
	loaded, err := loadAll()
	if err != nil {
		t.Fatal(err)
	}
	promised, actions := 0, 0
	for category, ids := range theFifty {
		for _, id := range ids {
			p := loaded[id]
			if p == nil || p.Category != category {
				t.Errorf("%s is not among %s", id, category)
				continue
			}
			promised++
			actions += len(p.Actions)
			if p.Health == nil || p.Health.Method != "GET" && p.Health.Method != "POST" {
				t.Errorf("%s has no health probe", id)
			}
		}
	}
	if len(theFifty) != 9 {
		t.Errorf("there are %d categories", len(theFifty))
	}
	if promised != 50 || len(loaded) != 51 || loaded["http"] == nil {
		t.Errorf("there are %d of the fifty, and %d providers in all", promised, len(loaded))
	}
	if actions < 165 {
		t.Errorf("there are %d actions", actions)
	}
}
