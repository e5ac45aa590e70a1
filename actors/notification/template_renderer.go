package notification

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/text/language"

	"github.com/weftmesh/weft/actors/budget"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/notification/template"
	"github.com/weftmesh/weft/subjects"
)

// The bounds of rendering one template with its partials and layout.
const (
	// maxRenderSteps bounds the elements that are evaluated: some 100 ms at most.
	maxRenderSteps = 200_000
	// maxRendered bounds the parts that are rendered in bytes, together; maxRenderedBytes also what is rendered on the way, such as the
	// body of a layout.
	maxRendered      = 256 << 10
	maxRenderedBytes = 768 << 10
	// maxRenderedInApp bounds a notification in the inbox, and every other channel but e-mail.
	maxRenderedInApp = 32 << 10
	// maxRenderTime is the fallback where steps cannot tell.
	maxRenderTime = time.Second
	// maxCheckSteps and maxRenderTime bound the check of a strict template, which renders it for each language and channel.
	maxCheckSteps = 5 * maxRenderSteps
)

// reader is whom a template is rendered for.
type reader struct {
	FirstName, Locale, TimeZone string
}

// readerOf returns what templates may know of a user.
func readerOf(c subjects.Contact) reader { return reader{c.FirstName, c.Locale, c.TimeZone} }

// rendering is what a template is rendered for, and with.
type rendering struct {
	template string
	revision int64
	channel  string
	reader   reader
	// data has the data of the notification. Rendering adds the variables of weft to it.
	data *template.Object
	// notificationID and category are variables.
	notificationID, category string
}

// result is a rendered template.
type result struct {
	template.Output
	variant
	missing []template.Missing
}

// errTemplateGone means that a notification's template, or its text for the channel, is not there.
var errTemplateGone = errors.New("the template does not exist")

// render renders a template for a channel. The error is a *template.Error where the template cannot be rendered with the data.
func (t *templateCatalog) render(ctx context.Context, r rendering) (result, error) {
	out, err := t.renderCached(ctx, r)
	if errors.Is(err, errNoTemplate) {
		// A version that a cached variant names is no longer kept; the oldest that is kept has taken its place.
		t.variants.Purge()
		out, err = t.renderCached(ctx, r)
	}
	return out, err
}

func (t *templateCatalog) renderCached(ctx context.Context, r rendering) (result, error) {
	variants, err := t.at(ctx, r.template, r.revision)
	if err != nil {
		return result{}, err
	}
	v, known := choose(variants, r.reader.Locale, t.config.DefaultLocale, r.channel)
	if !known || v.kind != template.Message {
		return result{}, fmt.Errorf("template %q: %w", r.template, errTemplateGone)
	}
	return t.renderVariant(ctx, v, r, nil)
}

// renderVariant renders one variant within the bounds of one rendering, and a budget that several share, if there is one.
func (t *templateCatalog) renderVariant(ctx context.Context, v variant, r rendering, shared *budget.Budget) (result, error) {
	out := result{variant: v}
	set, err := t.compiled(ctx, v)
	if err != nil {
		return out, err
	}
	env := t.env(r)
	env.Budget = shared.Part(budget.Limits{Steps: maxRenderSteps, Bytes: maxRenderedBytes, Time: maxRenderTime})
	defer env.Budget.Close()
	out.Output, out.missing, err = set.Render(env, t.find(ctx, v.locale, r.revision), r.channel == channel.Email)
	var lookup *lookupError
	if errors.As(err, &lookup) {
		return out, lookup.error
	}
	if err != nil {
		return out, err
	}
	most := maxRenderedInApp
	if r.channel == channel.Email {
		most = maxRendered
	}
	if size := len(out.Subject) + len(out.HTML) + len(out.Text); size > most {
		return out, &template.Error{Template: v.id, Part: template.Text, Line: 1, Column: 1, Message: fmt.Sprintf("the result has %d bytes, at most %d", size, most)}
	}
	return out, nil
}

// env returns the variables: the data, and those that weft adds, which data cannot replace.
func (t *templateCatalog) env(r rendering) template.Env {
	r.data.Set("user", object(
		[2]string{"first_name", r.reader.FirstName}, [2]string{"locale", r.reader.Locale}, [2]string{"time_zone", r.reader.TimeZone},
	))
	r.data.Set("notification", object(
		[2]string{"id", r.notificationID}, [2]string{"category", r.category}, [2]string{"channel", r.channel},
	))
	r.data.Set("app", object([2]string{"name", t.config.AppName}))
	env := template.Env{Data: r.data, LoadZone: subjects.LoadTimeZone, Zone: time.UTC}
	if zone, err := subjects.LoadTimeZone(r.reader.TimeZone); err == nil {
		env.Zone = zone
	}
	if locale, err := language.Parse(r.reader.Locale); err == nil {
		env.Locale = locale
	}
	return env
}

// object makes an object of names and texts.
func object(members ...[2]string) *template.Object {
	o := &template.Object{}
	for _, member := range members {
		o.Set(member[0], member[1])
	}
	return o
}

// isTemplateFault reports whether no attempt to render can succeed.
func isTemplateFault(err error) bool {
	var fault *template.Error
	return errors.As(err, &fault) || errors.Is(err, errTemplateGone) || errors.Is(err, errNoTemplate)
}

// checkSend checks the template of a notification that is being accepted: it exists and has a text for each channel, and if it is strict,
// the data has its variables, whatever language the reader has.
func (t *templateCatalog) checkSend(ctx context.Context, channels []string, r rendering, data map[string]json.RawMessage) error {
	variants, err := t.at(ctx, r.template, r.revision)
	if err != nil {
		return err
	}
	if len(variants) == 0 {
		return subjects.InvalidField("template", "there is no template %q", r.template)
	}
	shared := budget.New(budget.Limits{Steps: maxCheckSteps, Time: maxRenderTime})
	for _, r.channel = range channels {
		checked := map[variantKey]bool{}
		for locale := range locales(variants) {
			v, known := choose(variants, locale, t.config.DefaultLocale, r.channel)
			if !known || v.kind != template.Message {
				return subjects.InvalidField("template", "%q has no text for the channel %s", r.template, r.channel)
			}
			if checked[v.variantKey] || !v.uses.Strict {
				continue
			}
			checked[v.variantKey] = true
			r.reader.Locale = locale
			if r.data == nil {
				if r.data, err = templateData(data); err != nil {
					return err
				}
			}
			if _, err := t.renderVariant(ctx, v, r, shared); err != nil {
				return sendFault(v, err)
			}
		}
	}
	return nil
}

// locales are the locales of variants.
func locales(variants map[variantKey]variant) map[string]bool {
	found := map[string]bool{}
	for key := range variants {
		found[key.locale] = true
	}
	return found
}

// sendFault converts the error of rendering a strict template with the data of a request.
func sendFault(v variant, err error) error {
	var fault *template.Error
	if !errors.As(err, &fault) {
		return err
	}
	return &subjects.Error{
		Code: subjects.CodeInvalid, Detail: "data: " + fault.Error(),
		Fields: []subjects.FieldError{{
			Field: "data", Message: fmt.Sprintf("%s (locale %s)", fault.Error(), v.locale), Line: fault.Line, Column: fault.Column,
		}},
	}
}

// checkTemplateOf checks the template of a notification that is being accepted and returns the revision at which it is rendered.
func (t *templateCatalog) checkTemplateOf(ctx context.Context, n notificationRow, c content, channels []string) (revision int64, err error) {
	if c.Template == "" {
		return 0, nil
	}
	if revision, err = t.store.revision(ctx); err != nil {
		return 0, err
	}
	return revision, t.checkSend(ctx, channels, rendering{
		template: c.Template, revision: revision, notificationID: n.ID, category: n.Category,
	}, c.Data)
}
