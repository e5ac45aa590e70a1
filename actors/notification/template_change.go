package notification

import (
	"context"
	"errors"
	"fmt"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/quota"
	"github.com/weftmesh/weft/subjects"
)

// templateChange is a change of templates, which no other change overlaps.
type templateChange struct {
	*templateCatalog

	revision int64
	// graph has the current variants, latest the latest versions of all variants, deleted ones too.
	graph  templateGraph
	latest map[string]map[variantKey]int
	stored int
}

// beginTemplateChange takes the number of a change and reads the current templates.
func (t *templateCatalog) beginTemplateChange(ctx context.Context, tx database.Tx) (*templateChange, error) {
	revision, err := t.store.nextRevision(ctx, tx)
	if err != nil {
		return nil, err
	}
	rows, err := t.store.variantsAt(ctx, "", revision)
	if err != nil {
		return nil, err
	}
	c := &templateChange{templateCatalog: t, revision: revision, latest: map[string]map[variantKey]int{}}
	stored := map[string]bool{}
	for _, row := range rows {
		if c.latest[row.TemplateID] == nil {
			c.latest[row.TemplateID] = map[variantKey]int{}
		}
		c.latest[row.TemplateID][variantKey{row.Locale, row.Channel}] = row.Version
		stored[row.TemplateID] = stored[row.TemplateID] || !row.Deleted
	}
	for _, is := range stored {
		if is {
			c.stored++
		}
	}
	c.graph, err = t.graph(rows, "")
	return c, err
}

// put adds a row as the next version of its variant.
func (c *templateChange) put(ctx context.Context, tx database.Tx, row *templateRow, expected *int) error {
	key := variantKey{row.Locale, row.Channel}
	current, known := c.graph[row.TemplateID][key]
	if expected != nil && *expected != current.version {
		return errTemplateVersion(current.version)
	}
	for _, v := range c.graph[row.TemplateID] {
		if v.kind != row.Kind && (v.variantKey != key || len(c.graph[row.TemplateID]) > 1 || v.version == 0) {
			return subjects.InvalidField("kind", "the template has variants of the kind %s", v.kind)
		}
	}
	switch {
	case !known && len(c.graph[row.TemplateID]) >= maxVariants:
		return templateBound("variants of the template", maxVariants).Exceeded(0)
	case c.storedVariants(row.TemplateID) == 0 && c.stored >= c.config.MaxTemplates:
		return templateBound("templates", c.config.MaxTemplates).Exceeded(0)
	}
	row.Version = c.latest[row.TemplateID][key] + 1
	v, err := row.variant()
	if err != nil {
		return err
	}
	if c.graph[row.TemplateID] == nil {
		c.graph[row.TemplateID] = map[variantKey]variant{}
	}
	c.graph[row.TemplateID][key] = v
	if err := c.check(row.TemplateID, key); err != nil {
		return err
	}
	return c.store.insertTemplate(ctx, tx, row)
}

// storedVariants counts the variants of a template that are not shipped.
func (c *templateChange) storedVariants(id string) (n int) {
	for _, v := range c.graph[id] {
		if v.version > 0 {
			n++
		}
	}
	return n
}

// templateBound is a bound of what an installation stores.
func templateBound(what string, limit int) *quota.Bound {
	return &quota.Bound{Name: "notification.templates.max_templates", What: what, Unit: quota.Count, Limit: int64(limit)}
}

func errTemplateVersion(current int) error {
	return &subjects.Error{
		Code: subjects.CodeConflict, Reason: subjects.ReasonVersionMismatch, Detail: fmt.Sprintf("the current version is %d", current),
	}
}

// check checks the changed template, and those that use it.
func (c *templateChange) check(id string, key variantKey) error {
	err := c.graph.check(c.config.DefaultLocale, id)
	var use *useError
	if !errors.As(err, &use) {
		return err
	}
	var part *partError
	if use.id == id && use.locale == key.locale && errors.As(err, &part) {
		return part
	}
	return &subjects.Error{Code: subjects.CodeConflict, Reason: subjects.ReasonInUse, Detail: use.Error()}
}

// remove adds the deletion of a variant, or of all stored ones.
func (c *templateChange) remove(ctx context.Context, tx database.Tx, r subjects.DeleteTemplateRequest, key variantKey, now int64) error {
	current := c.graph[r.TemplateID]
	if r.ExpectedVersion != 0 && current[key].version != r.ExpectedVersion {
		return errTemplateVersion(current[key].version)
	}
	rows := []templateRow{}
	for _, v := range current {
		if v.version == 0 || key.locale != "" && v.variantKey != key {
			continue
		}
		rows = append(rows, templateRow{
			TemplateID: v.id, Locale: v.locale, Channel: v.channel, Version: v.version + 1, Revision: c.revision, Deleted: true,
			Kind: v.kind, Uses: "{}", Content: "{}", CreatedAt: now,
		})
		delete(current, v.variantKey)
		if shipped, known := c.shipped[v.id][v.variantKey]; known {
			current[v.variantKey] = shipped
		}
	}
	if len(rows) == 0 {
		return errNoTemplate
	}
	if err := c.check(r.TemplateID, variantKey{}); err != nil {
		return err
	}
	for i := range rows {
		if err := c.store.insertTemplate(ctx, tx, &rows[i]); err != nil {
			return err
		}
	}
	return nil
}
