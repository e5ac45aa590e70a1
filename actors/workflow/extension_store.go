package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/workflow/extension"
)

// extensionRow is what is known of an extension.
type extensionRow struct {
	bun.BaseModel `bun:"table:extensions"`

	Name         string `bun:"name,pk"`
	Versions     string `bun:"versions"`
	Copies       int    `bun:"copies"`
	Fault        string `bun:"fault"`
	Declarations string `bun:"declarations"`
	SeenAt       int64  `bun:"seen_at"`
}

// storedExtensions reads what is known of all extensions.
func storedExtensions(ctx context.Context, db bun.IDB) ([]extension.Stored, error) {
	var rows []extensionRow
	if err := db.NewSelect().Model(&rows).Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading extensions: %w", err)
	}
	stored := make([]extension.Stored, len(rows))
	for i, row := range rows {
		stored[i] = extension.Stored{
			Name: row.Name, Versions: strings.FieldsFunc(row.Versions, func(r rune) bool { return r == '\n' }), Copies: row.Copies, Fault: row.Fault,
			Declarations: json.RawMessage(row.Declarations), SeenAt: time.UnixMicro(row.SeenAt).UTC(),
		}
	}
	return stored, nil
}

// putExtension stores what is known of an extension.
func putExtension(ctx context.Context, db bun.IDB, s extension.Stored) error {
	row := extensionRow{
		Name: s.Name, Versions: strings.Join(s.Versions, "\n"), Copies: s.Copies, Fault: s.Fault, Declarations: string(s.Declarations),
		SeenAt: s.SeenAt.UnixMicro(),
	}
	_, err := db.NewInsert().Model(&row).On("CONFLICT (name) DO UPDATE").Set("versions = EXCLUDED.versions").Set("copies = EXCLUDED.copies").
		Set("fault = EXCLUDED.fault").Set("declarations = EXCLUDED.declarations").Set("seen_at = EXCLUDED.seen_at").Exec(ctx)
	if err != nil {
		return fmt.Errorf("storing an extension: %w", err)
	}
	return nil
}

// listenersToExtension reads up to limit users, after one, who have a version of a workflow that may receive events of an extension, in the
// order of their ids.
func listenersToExtension(ctx context.Context, db bun.IDB, name, after string, limit int) (users []string, err error) {
	err = db.NewSelect().TableExpr("workflow_versions AS v").ColumnExpr("DISTINCT w.user_id").
		Join("JOIN workflows AS w ON w.id = v.workflow_id").Where("v.extension_events <> ''").Where("w.user_id > ?", after).
		Where("v.extension_events = '*' OR ' ' || v.extension_events || ' ' LIKE ?", "% "+name+" %").
		OrderExpr("w.user_id").Limit(int64(limit)).Scan(ctx, &users)
	if err != nil {
		return nil, fmt.Errorf("looking for workflows that receive events of an extension: %w", err)
	}
	return users, nil
}
