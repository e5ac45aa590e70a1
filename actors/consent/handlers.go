package consent

import (
	"context"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

func (a *Actor) get(ctx context.Context, r subjects.ConsentRequest) (subjects.Consent, error) {
	c, err := a.store.consent(ctx, actors.CallerFrom(ctx).UserID, r.ConsentID)
	if err != nil {
		return subjects.Consent{}, err
	}
	return c.resource(a.Now()), nil
}

func (a *Actor) list(ctx context.Context, r subjects.ListConsentsRequest) (subjects.Page[subjects.Consent], error) {
	after, err := actors.DecodeCursor(r.Cursor, 1)
	if err != nil {
		return subjects.Page[subjects.Consent]{}, err
	}
	now := a.Now()
	rows, err := a.store.page(ctx, actors.CallerFrom(ctx).UserID, r, after[0], now)
	if err != nil {
		return subjects.Page[subjects.Consent]{}, err
	}
	items := make([]subjects.Consent, len(rows))
	for i, c := range rows {
		items[i] = c.resource(now)
	}
	return actors.PageOf(items, r.PageLimit(), func(c subjects.Consent) []string { return []string{c.ID} }), nil
}

func (a *Actor) history(ctx context.Context, r subjects.ConsentHistoryRequest) (subjects.Page[subjects.ConsentEntry], error) {
	none := subjects.Page[subjects.ConsentEntry]{}
	after, err := actors.DecodeCursor(r.Cursor, 1)
	if err != nil {
		return none, err
	}
	if _, err := a.store.consent(ctx, actors.CallerFrom(ctx).UserID, r.ConsentID); err != nil {
		return none, err
	}
	rows, err := a.store.entries(ctx, r.ConsentID, r.PageLimit()+1, after[0])
	if err != nil {
		return none, err
	}
	items := make([]subjects.ConsentEntry, len(rows))
	for i, e := range rows {
		items[i] = e.resource()
	}
	return actors.PageOf(items, r.PageLimit(), func(e subjects.ConsentEntry) []string { return []string{e.ID} }), nil
}

func (a *Actor) scopes(context.Context, subjects.Empty) (subjects.Page[subjects.ScopeInfo], error) {
	items := make([]subjects.ScopeInfo, 0, len(a.purposes.all))
	for _, p := range a.purposes.all {
		items = append(items, p.resource())
	}
	return subjects.Page[subjects.ScopeInfo]{Items: items}, nil
}
