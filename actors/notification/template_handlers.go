package notification

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/langtag"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/notification/template"
	"github.com/weftmesh/weft/subjects"
)

// putTemplate stores the next version of a variant.
func (t *templateCatalog) putTemplate(ctx context.Context, r subjects.PutTemplateRequest) (subjects.Template, error) {
	none := subjects.Template{}
	r, set, err := checkTemplate(r, t.config.DefaultLocale)
	if err != nil {
		return none, err
	}
	row := templateRow{TemplateID: r.TemplateID, Locale: r.Locale, Channel: r.Channel, Kind: r.Kind, CreatedAt: t.Now().UnixMicro()}
	uses, err := json.Marshal(usesOf(set))
	if err != nil {
		return none, fmt.Errorf("encoding a template: %w", err)
	}
	content, err := subjects.Encode(templateContent{Subject: r.Subject, HTML: r.HTML, Text: r.Text, SampleData: r.SampleData})
	if err != nil {
		return none, err
	}
	row.Uses, row.Content = string(uses), string(content)
	err = t.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		change, err := t.beginTemplateChange(ctx, tx)
		if err != nil {
			return err
		}
		row.Revision = change.revision
		return change.put(ctx, tx, &row, r.ExpectedVersion)
	})
	if err != nil {
		return none, locatedUse(set, err)
	}
	return row.resource()
}

// locatedUse converts the error of a partial or layout that a template uses to one with the place where it does.
func locatedUse(set *template.Set, err error) error {
	var part *partError
	if !errors.As(err, &part) {
		return err
	}
	coded := subjects.InvalidField(part.part, "%s", part.message)
	for _, reference := range set.Uses(part.part) {
		if reference.Name == part.name {
			coded.Detail = fmt.Sprintf("%s: line %d, column %d: %s", part.part, reference.Line, reference.Column, part.message)
			coded.Fields[0].Line, coded.Fields[0].Column = reference.Line, reference.Column
		}
	}
	return coded
}

// deleteTemplate deletes a variant, or all of a template.
func (t *templateCatalog) deleteTemplate(ctx context.Context, r subjects.DeleteTemplateRequest) (subjects.Empty, error) {
	if r.Locale == "" && (r.Channel != "" || r.ExpectedVersion != 0) {
		return subjects.Empty{}, subjects.InvalidField("locale", "is required with channel and expected_version")
	}
	key := variantKey{channel: r.Channel}
	if r.Locale != "" {
		canonical, ok := langtag.Canonical(r.Locale)
		if !ok {
			return subjects.Empty{}, subjects.InvalidField("locale", "is not a BCP 47 tag")
		}
		key.locale = canonical
	}
	err := t.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		change, err := t.beginTemplateChange(ctx, tx)
		if err != nil {
			return err
		}
		return change.remove(ctx, tx, r, key, t.Now().UnixMicro())
	})
	return subjects.Empty{}, err
}

// getTemplate returns one version of a variant.
func (t *templateCatalog) getTemplate(ctx context.Context, r subjects.TemplateRequest) (subjects.Template, error) {
	none := subjects.Template{}
	key := variantKey{cmp.Or(r.Locale, t.config.DefaultLocale), r.Channel}
	canonical, ok := langtag.Canonical(key.locale)
	if !ok {
		return none, subjects.InvalidField("locale", "is not a BCP 47 tag")
	}
	key.locale = canonical
	if r.Version > 0 {
		row, err := t.store.templateVersion(ctx, r.TemplateID, key, r.Version)
		if err != nil {
			return none, err
		}
		return row.resource()
	}
	variants, err := t.currentVariants(ctx, r.TemplateID)
	if err != nil {
		return none, err
	}
	v, known := variants[key]
	if !known && r.Locale == "" && len(variants) == 1 {
		v, known = slices.Collect(maps.Values(variants))[0], true
	}
	switch {
	case !known:
		return none, errNoTemplate
	case v.set != nil:
		return v.resource(true), nil
	}
	row, err := t.store.templateVersion(ctx, v.id, v.variantKey, v.version)
	if err != nil {
		return none, err
	}
	return row.resource()
}

// currentVariants returns the variants of a template as they are now.
func (t *templateCatalog) currentVariants(ctx context.Context, id string) (map[variantKey]variant, error) {
	revision, err := t.store.revision(ctx)
	if err != nil {
		return nil, err
	}
	return t.at(ctx, id, revision)
}

// listTemplates lists the current variants of all templates, without sources.
func (t *templateCatalog) listTemplates(ctx context.Context, r subjects.ListTemplatesRequest) (subjects.Page[subjects.Template], error) {
	none := subjects.Page[subjects.Template]{}
	after, err := actors.DecodeCursor(r.Cursor, 3)
	if err != nil {
		return none, err
	}
	revision, err := t.store.revision(ctx)
	if err != nil {
		return none, err
	}
	rows, err := t.store.variantsAt(ctx, "", revision)
	if err != nil {
		return none, err
	}
	graph, err := t.graph(rows, "")
	if err != nil {
		return none, err
	}
	items := []subjects.Template{}
	for _, id := range slices.Sorted(maps.Keys(graph)) {
		for _, v := range graph.sorted(id) {
			position := []string{v.id, v.locale, v.channel}
			if len(items) > r.PageLimit() || r.Cursor != "" && slices.Compare(position, after) <= 0 || r.Kind != "" && v.kind != r.Kind {
				continue
			}
			items = append(items, v.resource(false))
		}
	}
	return actors.PageOf(items, r.PageLimit(), func(t subjects.Template) []string { return []string{t.ID, t.Locale, t.Channel} }), nil
}

// previewTemplate renders a template without sending it.
func (t *templateCatalog) previewTemplate(ctx context.Context, r subjects.PreviewTemplateRequest) (subjects.TemplatePreview, error) {
	none := subjects.TemplatePreview{}
	if r.TimeZone != "" {
		if _, err := subjects.LoadTimeZone(r.TimeZone); err != nil {
			return none, subjects.InvalidField("time_zone", "is %s", err)
		}
	}
	locale := cmp.Or(r.Locale, t.config.DefaultLocale)
	if _, ok := langtag.Canonical(locale); !ok {
		return none, subjects.InvalidField("locale", "is not a BCP 47 tag")
	}
	if dataSize(r.Data) > maxData {
		return none, subjects.InvalidField("data", "is larger than %d bytes", maxData)
	}
	revision, err := t.store.revision(ctx)
	if err != nil {
		return none, err
	}
	variants, err := t.at(ctx, r.TemplateID, revision)
	if err != nil {
		return none, err
	}
	name := cmp.Or(r.Channel, channel.Email)
	v, known := choose(variants, locale, t.config.DefaultLocale, name)
	if !known {
		return none, errNoTemplate
	}
	if v.kind != template.Message {
		return none, subjects.InvalidField("template_id", "is a %s; only messages are rendered", v.kind)
	}
	if r.Data == nil {
		if r.Data, err = t.sampleData(ctx, v); err != nil {
			return none, err
		}
	}
	data, err := templateData(r.Data)
	if err != nil {
		return none, subjects.InvalidField("data", "%s", err)
	}
	return t.preview(ctx, v, rendering{
		template: r.TemplateID, revision: revision, channel: name, reader: reader{"Ada", locale, cmp.Or(r.TimeZone, "UTC")}, data: data,
		notificationID: t.NewID(), category: "system",
	})
}

// sampleData returns the sample data of a variant.
func (t *templateCatalog) sampleData(ctx context.Context, v variant) (map[string]json.RawMessage, error) {
	if v.set != nil {
		return nil, nil
	}
	row, err := t.store.templateVersion(ctx, v.id, v.variantKey, v.version)
	if err != nil {
		return nil, err
	}
	r, err := row.resource()
	return r.SampleData, err
}

// preview renders a variant leniently and lists its missing variables.
func (t *templateCatalog) preview(ctx context.Context, v variant, r rendering) (subjects.TemplatePreview, error) {
	out, err := t.renderVariant(ctx, v, r, nil)
	var fault *template.Error
	if errors.As(err, &fault) && (!v.uses.Strict || len(out.missing) == 0 || out.Output == (template.Output{})) {
		return subjects.TemplatePreview{}, &subjects.Error{
			Code: subjects.CodeInvalid, Detail: fault.Error(),
			Fields: []subjects.FieldError{{Field: "data", Message: fault.Error(), Line: fault.Line, Column: fault.Column}},
		}
	}
	if err != nil && fault == nil {
		return subjects.TemplatePreview{}, err
	}
	preview := subjects.TemplatePreview{
		Subject: out.Subject, HTML: out.HTML, Text: out.Text, Locale: v.locale, Version: v.version, Strict: v.uses.Strict,
		Missing: []subjects.MissingVariable{},
	}
	for _, m := range out.missing {
		preview.Missing = append(preview.Missing, subjects.MissingVariable{
			Name: m.Name, Template: m.Template, Part: m.Part, Line: m.Line, Column: m.Column,
		})
	}
	return preview, nil
}
