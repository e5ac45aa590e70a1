package notification

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

var errNoTemplate = subjects.Errorf(subjects.CodeNotFound, "template not found")

// templateRow is one version of a variant of a template.
type templateRow struct {
	bun.BaseModel `bun:"table:templates,alias:t"`

	TemplateID string `bun:"template_id,pk"`
	Locale     string `bun:"locale,pk"`
	Channel    string `bun:"channel,pk"`
	Version    int    `bun:"version,pk"`
	Revision   int64  `bun:"revision"`
	Deleted    bool   `bun:"deleted"`
	Kind       string `bun:"kind"`
	Uses       string `bun:"uses"`
	Content    string `bun:"content"`
	CreatedAt  int64  `bun:"created_at"`
}

// variant returns the row without its content.
func (r templateRow) variant() (variant, error) {
	v := variant{
		variantKey: variantKey{r.Locale, r.Channel}, id: r.TemplateID, kind: r.Kind, version: r.Version, createdAt: r.CreatedAt,
	}
	if err := json.Unmarshal([]byte(r.Uses), &v.uses); err != nil {
		return v, fmt.Errorf("reading a template: %w", err)
	}
	return v, nil
}

// templateStore holds the queries of templates. A read joins the transaction of its context, where there is one.
type templateStore struct{ db *database.DB }

// revision returns the number of changes of templates.
func (s templateStore) revision(ctx context.Context) (revision int64, err error) {
	err = s.db.NewSelect().Table("template_revisions").Column("revision").Where("id = 1").Scan(ctx, &revision)
	return revision, wrapped(err, "reading the revision of templates")
}

// nextRevision takes the number of a change. Other changes wait until the transaction ends.
func (templateStore) nextRevision(ctx context.Context, tx bun.Tx) (revision int64, err error) {
	err = tx.NewUpdate().Table("template_revisions").Set("revision = revision + 1").Where("id = 1").Returning("revision").Scan(ctx, &revision)
	return revision, wrapped(err, "changing templates")
}

// variantsAt returns the latest version of each variant up to a revision, deleted ones too, without contents: of one template, or of all
// where id is empty.
func (s templateStore) variantsAt(ctx context.Context, id string, revision int64) ([]templateRow, error) {
	latest := s.db.NewSelect().Table("templates").Column("template_id", "locale", "channel").ColumnExpr("max(version) AS version").
		Where("revision <= ?", revision).Group("template_id", "locale", "channel")
	if id != "" {
		latest.Where("template_id = ?", id)
	}
	var rows []templateRow
	err := s.db.NewSelect().Model(&rows).ExcludeColumn("content").
		Join("JOIN (?) AS latest ON latest.template_id = t.template_id AND latest.locale = t.locale "+
			"AND latest.channel = t.channel AND latest.version = t.version", latest).
		Order("t.template_id", "t.locale", "t.channel").Scan(ctx)
	return rows, wrapped(err, "reading templates")
}

// templateVersion returns one version of a variant, or errNoTemplate.
func (s templateStore) templateVersion(ctx context.Context, id string, key variantKey, version int) (templateRow, error) {
	var row templateRow
	err := s.db.NewSelect().Model(&row).Where("template_id = ?", id).Where("locale = ?", key.locale).Where("channel = ?", key.channel).
		Where("version = ?", version).Where("NOT deleted").Scan(ctx)
	return row, database.OneRow(err, "reading a template", errNoTemplate)
}

// insertTemplate adds a version and deletes the oldest ones of the variant beyond maxVersions. The oldest one that remains takes the
// revision of the oldest one there was: notifications that were accepted then are rendered with it.
func (templateStore) insertTemplate(ctx context.Context, tx bun.Tx, row *templateRow) error {
	if _, err := tx.NewInsert().Model(row).Exec(ctx); err != nil {
		return fmt.Errorf("inserting a template: %w", err)
	}
	oldest := row.Version - maxVersions + 1
	if oldest <= 1 {
		return nil
	}
	first := tx.NewSelect().Table("templates").ColumnExpr("min(revision)").Where("template_id = ?", row.TemplateID).
		Where("locale = ?", row.Locale).Where("channel = ?", row.Channel)
	_, err := tx.NewUpdate().Table("templates").Set("revision = (?)", first).Where("template_id = ?", row.TemplateID).
		Where("locale = ?", row.Locale).Where("channel = ?", row.Channel).Where("version = ?", oldest).Exec(ctx)
	if err != nil {
		return fmt.Errorf("keeping the oldest version of a template: %w", err)
	}
	_, err = tx.NewDelete().Table("templates").Where("template_id = ?", row.TemplateID).Where("locale = ?", row.Locale).
		Where("channel = ?", row.Channel).Where("version < ?", oldest).Exec(ctx)
	return wrapped(err, "deleting old versions of a template")
}
