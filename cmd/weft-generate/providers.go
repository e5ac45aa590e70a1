package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/integration/webhook"
	"github.com/weftmesh/weft/cmd/weft/settings"
)

// providersDocument returns docs/providers.md: the actions of every built-in provider, and how to connect to it.
func providersDocument() (string, error) {
	listed, err := integration.ListProviders("")
	if err != nil {
		return "", err
	}
	categories, actions := map[string][]*manifest.Provider{}, 0
	for _, l := range listed {
		if l.Fault != "" {
			return "", fmt.Errorf("%s: %s", l.ID, l.Fault)
		}
		categories[l.Provider.Category] = append(categories[l.Provider.Category], l.Provider)
		actions += len(l.Provider.Actions)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Providers\n\nGenerated from the manifests in `actors/integration/providers` by `make generate`; CI fails if it is not current.\n\n"+
		"Weft includes %d providers with %d actions. [Writing a provider](writing-a-provider.md) explains how to add one without\n"+
		"building weft; [provider evidence](provider-evidence.md) lists what each manifest was tested against.\n",
		len(listed), actions)
	b.WriteString(providersIntroduction)
	for _, category := range slices.Sorted(maps.Keys(categories)) {
		var links []string
		for _, p := range categories[category] {
			links = append(links, fmt.Sprintf("[%s](#%s)", p.Name, p.ID))
		}
		fmt.Fprintf(&b, "- %s: %s\n", words(category), strings.Join(links, ", "))
	}
	for _, category := range slices.Sorted(maps.Keys(categories)) {
		fmt.Fprintf(&b, "\n## %s\n", words(category))
		for _, p := range categories[category] {
			writeProvider(&b, p)
		}
	}
	return b.String(), nil
}

const providersIntroduction = `
Call an action with ` + "`POST /v1/integrations/{integration_id}/actions/{action}`" + ` and the body ` + "`{\"input\": {…}}`" + `, or in a workflow as
` + "`call: <provider>.<action>`" + `. After a failure weft retries *read* and *idempotent* actions; it retries *write once* actions only
if the provider cannot have processed the request. Inputs marked with * are required. Requests that no action covers go through
` + "`POST /v1/integrations/{integration_id}/proxy`" + `.

To connect an account with credentials, send them to ` + "`POST /v1/integrations`" + `:
` + "`{\"provider\": …, \"auth\": …, \"label\": …, \"settings\": {…}, \"credentials\": {…}}`" + `; ` + "`auth`" + ` defaults to the first
method listed. To connect one with OAuth 2 in the browser, the operator registers an application with the provider once; then
` + "`GET /v1/providers/{provider}/auth-url`" + ` returns the URL to send the browser to, and weft's callback page completes the
authorization. Tokens obtained elsewhere can be imported as credentials: ` + "`access_token`" + `, ` + "`refresh_token`, `expires_at`" + `.

`

// writeProvider writes the section of a provider.
func writeProvider(b *strings.Builder, p *manifest.Provider) {
	fmt.Fprintf(b, "\n<a id=%q></a>\n### %s\n\n`%s`. %s", p.ID, p.Name, p.ID, p.Description)
	if p.Docs != "" {
		fmt.Fprintf(b, " [The provider's documentation](%s).", p.Docs)
	}
	b.WriteString("\n")
	if properties := propertiesOf(p.Settings); len(properties) > 0 {
		b.WriteString("\nSettings of a connection:\n\n")
		writeProperties(b, "", p.Settings)
	}
	for i, method := range p.Auth {
		writeAuth(b, p, method, i == 0)
	}
	b.WriteString("\n#### Actions\n\n")
	for _, a := range p.Actions {
		writeAction(b, a)
	}
	writeLimits(b, p)
	if p.Webhook != nil {
		writeWebhook(b, p)
	}
}

// writeAuth writes how to connect with an authentication method; first is whether it is the default.
func writeAuth(b *strings.Builder, p *manifest.Provider, m *manifest.AuthMethod, first bool) {
	byDefault := ""
	if first && len(p.Auth) > 1 {
		byDefault = ", the default"
	}
	fmt.Fprintf(b, "\n#### Connect: %s (`%s`%s)\n\n", cmp.Or(m.Title, authTitles[m.Kind]), m.ID, byDefault)
	if m.Kind == manifest.AuthOAuth2 {
		writeSignIn(b, p, m)
		return
	}
	if m.Help != "" {
		fmt.Fprintf(b, "%s\n", strings.TrimSpace(m.Help))
	}
	if len(propertiesOf(m.Credentials)) > 0 {
		b.WriteString("\nCredentials:\n\n")
		writeProperties(b, "", m.Credentials)
	} else {
		b.WriteString("No credentials are needed.\n")
	}
	if m.OAuth2 != nil && len(m.OAuth2.DefaultScopes) > 0 {
		fmt.Fprintf(b, "\nRequested scopes: `%s`.\n", strings.Join(m.OAuth2.DefaultScopes, "` `"))
	}
}

// authTitles has the titles of authentication methods without a title of their own.
var authTitles = map[manifest.AuthKind]string{
	manifest.AuthOAuth2: "Sign in", manifest.AuthClientCredentials: "Client credentials", manifest.AuthJWTBearer: "Signing key",
	manifest.AuthAPIKey: "API key", manifest.AuthBasic: "User name and password", manifest.AuthSigV4: "Access key", manifest.AuthNone: "No authentication",
}

// clientHosts is what the operator must set besides if settings of a connection decide the host of an OAuth address.
func clientHosts(m *manifest.AuthMethod, variable string) string {
	if !strings.Contains(m.OAuth2.AuthorizeURL+m.OAuth2.TokenURL, ".settings.") {
		return ""
	}
	usual, err := m.OAuthAddresses(nil)
	if err != nil {
		return fmt.Sprintf(", and `%s_CLIENT_HOSTS` to the hosts at which it is registered", variable)
	}
	return fmt.Sprintf(", and `%s_CLIENT_HOSTS` to the hosts at which it is registered unless that is %#q", variable, usual[0].URL.Host)
}

// writeSignIn writes the steps of operator and user for the authorization-code flow.
func writeSignIn(b *strings.Builder, p *manifest.Provider, m *manifest.AuthMethod) {
	variable := "WEFT_INTEGRATION_PROVIDERS_" + strings.ToUpper(p.ID)
	fmt.Fprintf(b, "1. The operator registers an application with %s, with the redirect URI `<integration.public_url>/v1/integrations/callback`.\n"+
		"2. The operator sets `%s_CLIENT_ID` and `%s_CLIENT_SECRET` to what the provider issues%s, and restarts weft.\n"+
		"3. The user opens the URL that `GET /v1/providers/%s/auth-url", p.Name, variable, variable, clientHosts(m, variable), p.ID)
	var query []string
	if byDefault, ok := firstSignIn(p); ok && byDefault != m {
		query = append(query, "auth="+m.ID)
	}
	if len(propertiesOf(p.Settings)) > 0 {
		query = append(query, "settings={…}")
	}
	if len(query) > 0 {
		b.WriteString("?" + strings.Join(query, "&"))
	}
	b.WriteString("` returns, and grants the requested access.\n")
	if m.Help != "" {
		fmt.Fprintf(b, "\n%s\n", strings.TrimSpace(m.Help))
	}
	if scopes := m.OAuth2.DefaultScopes; len(scopes) > 0 {
		fmt.Fprintf(b, "\nRequested unless `scopes` is given: `%s`.\n", strings.Join(scopes, "` `"))
	}
	if len(p.Scopes) == 0 {
		return
	}
	b.WriteString("\nScopes:\n\n")
	for _, scope := range slices.Sorted(maps.Keys(p.Scopes)) {
		fmt.Fprintf(b, "- `%s`: %s\n", scope, p.Scopes[scope])
	}
}

// firstSignIn returns the method that get_auth_url uses by default.
func firstSignIn(p *manifest.Provider) (*manifest.AuthMethod, bool) {
	i := slices.IndexFunc(p.Auth, func(m *manifest.AuthMethod) bool { return m.Kind == manifest.AuthOAuth2 })
	if i < 0 {
		return nil, false
	}
	return p.Auth[i], true
}

// safeties describes how an action may be retried; "" means that it depends on the input.
var safeties = map[egress.Safety]string{
	egress.Read: "read", egress.Idempotent: "idempotent", egress.WriteOnce: "write once", "": "depends on the input",
}

// writeAction writes the list item of an action with its inputs.
func writeAction(b *strings.Builder, a *manifest.Action) {
	fmt.Fprintf(b, "- **`%s`** %s. ", a.ID, strings.TrimSuffix(a.Title, "."))
	if a.Description != "" {
		fmt.Fprintf(b, "%s ", line(a.Description))
	}
	facts := []string{"*" + safeties[a.Safety] + "*"}
	if a.Paginated {
		facts = append(facts, "paginated by `"+a.Cursor+"`")
	}
	if len(a.Scopes) > 0 {
		facts = append(facts, "scopes `"+strings.Join(a.Scopes, "` `")+"`")
	}
	if a.Docs != "" {
		facts = append(facts, "[documentation]("+a.Docs+")")
	}
	fmt.Fprintf(b, "(%s)\n", strings.Join(facts, "; "))
	writeProperties(b, "  ", a.Input)
}

// writeLimits writes the rate limits of a provider.
func writeLimits(b *strings.Builder, p *manifest.Provider) {
	if len(p.Limits) == 0 {
		return
	}
	b.WriteString("\n#### Limits\n\n")
	for _, l := range p.Limits {
		counted := "all calls"
		if len(l.Actions) > 0 {
			counted = "`" + strings.Join(l.Actions, "` `") + "`"
		}
		scope := "per connection"
		if l.OfProvider() {
			scope = "for all connections together"
		}
		fmt.Fprintf(b, "- `%s`: %d in %s %s: %s\n", l.ID, l.Requests, settings.DurationText(time.Duration(l.Per)), scope, counted)
	}
}

// secretsFrom says where a hook's secret comes from.
var secretsFrom = map[string]string{
	webhook.FromWeft: "weft, which returns it once", webhook.FromProvider: "the provider; pass it when creating the hook",
	webhook.FromHandshake: "the provider, which sends it in its first delivery",
}

// writeWebhook writes how to receive webhooks of a provider.
func writeWebhook(b *strings.Builder, p *manifest.Provider) {
	w := p.Webhook
	fmt.Fprintf(b, "\n#### Webhooks\n\n`POST /v1/integrations/{integration_id}/hooks` returns the URL to register with %s. The secret is generated by %s.",
		p.Name, secretsFrom[w.Scheme.Secret.From])
	if w.Docs != "" {
		fmt.Fprintf(b, " [Documentation](%s).", w.Docs)
	}
	b.WriteString("\n")
	for _, help := range []string{w.Help, w.Scheme.Secret.Help} {
		if help = strings.TrimSpace(help); help != "" {
			fmt.Fprintf(b, "\n%s\n", help)
		}
	}
}

// propertiesOf returns the properties of an object's JSON Schema.
func propertiesOf(schema map[string]any) map[string]any {
	properties, _ := schema["properties"].(map[string]any)
	return properties
}

// writeProperties lists an object's properties, required ones first.
func writeProperties(b *strings.Builder, indent string, schema map[string]any) {
	properties := propertiesOf(schema)
	required := map[string]bool{}
	list, _ := schema["required"].([]any)
	for _, name := range list {
		if text, ok := name.(string); ok {
			required[text] = true
		}
	}
	names := slices.SortedFunc(maps.Keys(properties), func(x, y string) int {
		if required[x] != required[y] {
			if required[x] {
				return -1
			}
			return 1
		}
		return cmp.Compare(x, y)
	})
	for _, name := range names {
		property, _ := properties[name].(map[string]any)
		fmt.Fprintf(b, "%s- `%s`", indent, name)
		if required[name] {
			b.WriteString("*")
		}
		if kind := kindOf(property); kind != "" {
			fmt.Fprintf(b, " (%s)", kind)
		}
		title, _ := property["title"].(string)
		description, _ := property["description"].(string)
		if text := line(cmp.Or(description, title)); text != "" {
			fmt.Fprintf(b, ": %s", text)
		}
		b.WriteString("\n")
	}
}

// kindOf returns the type of a property, or its values if it has few.
func kindOf(property map[string]any) string {
	if values, ok := property["enum"].([]any); ok && len(values) <= 12 {
		texts := make([]string, len(values))
		for i, value := range values {
			texts[i] = fmt.Sprintf("`%v`", value)
		}
		return strings.Join(texts, ", ")
	}
	switch kind := property["type"].(type) {
	case string:
		if items, ok := property["items"].(map[string]any); ok && kind == "array" {
			if of := kindOf(items); of != "" {
				return "list of " + of
			}
		}
		return kind
	case []any:
		texts := make([]string, len(kind))
		for i, value := range kind {
			texts[i] = fmt.Sprint(value)
		}
		return strings.Join(texts, " or ")
	}
	return ""
}

// line joins text to one line and escapes what Markdown takes for HTML.
func line(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "<", "&lt;")
}

// words turns an ID into a heading.
func words(id string) string {
	text := strings.ReplaceAll(id, "_", " ")
	return strings.ToUpper(text[:1]) + text[1:]
}
