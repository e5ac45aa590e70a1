package notification

import (
	"encoding/json"
	"fmt"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

// resource returns the variant as an admin sees it. The sources are those of a shipped one; a stored one has them in its row.
func (v variant) resource(sources bool) subjects.Template {
	t := subjects.Template{
		ID: v.id, Kind: v.kind, Locale: v.locale, Channel: v.channel, Version: v.version, Shipped: v.set != nil, Layout: v.uses.Layout,
		Strict: v.uses.Strict, Partials: v.uses.partials(), CreatedAt: actors.OptionalTime(v.createdAt),
	}
	if sources && v.set != nil {
		t.Subject, t.HTML, t.Text = v.set.Subject, v.set.HTML, v.set.Text
	}
	return t
}

// resource returns the version as an admin sees it.
func (r templateRow) resource() (subjects.Template, error) {
	v, err := r.variant()
	if err != nil {
		return subjects.Template{}, err
	}
	t := v.resource(false)
	var c templateContent
	if err := json.Unmarshal([]byte(r.Content), &c); err != nil {
		return t, fmt.Errorf("reading a template: %w", err)
	}
	t.Subject, t.HTML, t.Text, t.SampleData = c.Subject, c.HTML, c.Text, c.SampleData
	return t, nil
}
