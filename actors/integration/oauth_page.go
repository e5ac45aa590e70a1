package integration

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"html/template"
	"net/url"
	"regexp"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

//go:embed oauth_page.html
var oauthPageSource string

var oauthPage = template.Must(template.New("page").Parse(oauthPageSource))

// pageText is what the page says. It never holds a code, a state or a token.
type pageText struct {
	Good         bool
	Title, Lines string
}

var errorWord = regexp.MustCompile(`^[a-z_]{1,64}$`)

// oauthCallback ends an errand in the browser that began it, and says on a page what came of it.
func (a *Actor) oauthCallback(ctx context.Context, r subjects.OAuthCallbackRequest) (subjects.Document, error) {
	text := a.comeBack(ctx, r)
	var page bytes.Buffer
	if err := oauthPage.Execute(&page, text); err != nil {
		return subjects.Document{}, fmt.Errorf("writing a page: %w", err)
	}
	return subjects.Document{ContentType: "text/html; charset=utf-8", Body: page.Bytes()}, nil
}

func (a *Actor) comeBack(ctx context.Context, r subjects.OAuthCallbackRequest) pageText {
	query, err := url.ParseQuery(r.Query)
	back := comeback{state: query.Get("state"), code: query.Get("code"), issuer: query.Get("iss")}
	switch {
	case query.Get("error") != "":
		word := "an error"
		if errorWord.MatchString(query.Get("error")) {
			word = query.Get("error")
		}
		return pageText{Title: "Not connected", Lines: "The provider answered with " + word + ". Nothing was changed."}
	case err != nil || back.state == "" || back.code == "":
		return pageText{Title: "Not connected", Lines: "This page is where a provider sends you back to. It was opened without a provider's answer."}
	}
	c, err := a.finish(ctx, back, func(e errand) bool {
		return actors.BindingIs(r.CookieBinding, e.Binding) && e.RedirectURI == a.config.ownRedirect() && !a.Verifier.Revoked(e.SessionID)
	})
	if err == nil {
		return pageText{Good: true, Title: "Connected", Lines: c.Provider + " is connected as " + c.Label + ". You can close this window."}
	}
	if subjects.CodeOf(err) == subjects.CodeInternal {
		a.Log.Error("connecting an account", zap.Error(err))
		return pageText{Title: "Not connected", Lines: "Something went wrong here. Try again."}
	}
	return pageText{Title: "Not connected", Lines: detailOf(err)}
}
