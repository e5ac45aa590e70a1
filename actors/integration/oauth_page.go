package integration

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"html/template"
	"net/url"
	"regexp"

	"github.com/weftmesh/weft/actors/oauthstate"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/subjects"
)

//go:embed oauth_page.html
var oauthPageSource string

var oauthPage = template.Must(template.New("page").Parse(oauthPageSource))

// pageText is the text of the callback page. It never contains a code, a state or a token.
type pageText struct {
	Connected   bool
	Title, Text string
}

// oauthErrorCode matches the error codes that are shown on the page; others may be anything.
var oauthErrorCode = regexp.MustCompile(`^[a-z_]{1,64}$`)

// oauthCallback completes an authorization flow in the browser that started it, and shows the result as a page.
func (a *Actor) oauthCallback(ctx context.Context, r subjects.OAuthCallbackRequest) (subjects.Document, error) {
	text := a.handleCallback(ctx, r)
	var page bytes.Buffer
	if err := oauthPage.Execute(&page, text); err != nil {
		return subjects.Document{}, fmt.Errorf("rendering the callback page: %w", err)
	}
	return subjects.Document{ContentType: "text/html; charset=utf-8", Body: page.Bytes()}, nil
}

func (a *Actor) handleCallback(ctx context.Context, r subjects.OAuthCallbackRequest) pageText {
	query, err := url.ParseQuery(r.Query)
	params := callbackParams{state: query.Get("state"), code: query.Get("code"), issuer: query.Get("iss")}
	switch {
	case query.Get("error") != "":
		code := "an error"
		if oauthErrorCode.MatchString(query.Get("error")) {
			code = query.Get("error")
		}
		return pageText{Title: "Not connected", Text: "The provider answered with " + code + ". Nothing was changed."}
	case err != nil || params.state == "" || params.code == "":
		return pageText{Title: "Not connected", Text: "Providers redirect to this page. It was opened without a provider's answer."}
	}
	c, err := a.completeFlow(ctx, params, func(flow authorizationFlow) bool {
		return oauthstate.BindingIs(r.CookieBinding, flow.Binding) && flow.RedirectURI == a.config.callbackURL() && !a.Verifier.Revoked(flow.SessionID)
	})
	if err == nil {
		return pageText{Connected: true, Title: "Connected", Text: c.Provider + " is connected as " + c.Label + ". You can close this window."}
	}
	if subjects.CodeOf(err) == subjects.CodeInternal {
		a.Log.Error("completing an authorization flow", zap.Error(err))
		return pageText{Title: "Not connected", Text: "An internal error occurred. Try again."}
	}
	return pageText{Title: "Not connected", Text: errorDetail(err)}
}
