package consent

import (
	"context"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/idempotency"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// privacyHandlers are the use cases of privacy requests.
type privacyHandlers struct{ *Actor }

// createPrivacyRequest records a request. What answers it is started by the process that collects data, by the user's change of the profile, or,
// for an erasure, at once.
func (a privacyHandlers) createPrivacyRequest(ctx context.Context, r subjects.CreatePrivacyRequestRequest) (subjects.CreatedPrivacyRequest, error) {
	if err := checkRequest(r); err != nil {
		return subjects.CreatedPrivacyRequest{}, err
	}
	now := a.Now().UTC()
	row := privacyRow{
		ID: a.NewID(), UserID: actors.CallerFrom(ctx).UserID, Kind: r.Kind, Status: subjects.PrivacyInProgress, Note: r.Note,
		Fields: []subjects.Rectification{}, RequestedAt: now.UnixMicro(), DueAt: addMonths(now, responseMonths).UnixMicro(),
	}
	switch r.Kind {
	case subjects.PrivacyAccess, subjects.PrivacyPortability:
		row.Format, row.NextAt = formatJSON, now.UnixMicro()
		if r.Format != "" {
			row.Format = r.Format
		}
	case subjects.PrivacyRectification:
		for _, f := range r.Fields {
			row.Fields = append(row.Fields, subjects.Rectification{Field: f.Field, Value: f.Value})
		}
	}
	row, err := idempotency.Step(ctx, a.DB, "record", func(ctx context.Context, tx database.Tx) (privacyRow, error) {
		if err := a.bounds.Reserve(ctx, tx, a.bounds.privacyRequests, row.UserID, 1); err != nil {
			return row, err
		}
		if err := a.privacy.store.add(ctx, tx, row); err != nil {
			return row, err
		}
		a.DB.AfterCommit(ctx, a.privacy.wake.Notify)
		return row, a.privacy.publish(ctx, tx, row, "received")
	})
	if err != nil {
		return subjects.CreatedPrivacyRequest{}, err
	}
	if r.Kind == subjects.PrivacyErasure {
		return a.startErasure(ctx, row, r)
	}
	return subjects.CreatedPrivacyRequest{PrivacyRequest: row.resource(nil, now)}, nil
}

// startErasure has auth delete the account. A request that auth refuses is no request.
func (a privacyHandlers) startErasure(ctx context.Context, row privacyRow, r subjects.CreatePrivacyRequestRequest) (subjects.CreatedPrivacyRequest, error) {
	caller := actors.CallerFrom(ctx)
	started, err := mesh.Call(ctx, a.Conn, subjects.EraseAccount, subjects.EraseAccountRequest{
		SessionID: caller.SessionID, IP: caller.Origin.IP, Device: strings.ToValidUTF8(caller.Origin.UserAgent, ""), Password: r.Password, Code: r.Code,
	}, mesh.As{Service: true, UserID: row.UserID})
	if err != nil {
		cleanup, cancel := context.WithTimeout(a.DB.Detached(context.WithoutCancel(ctx)), startupTimeout)
		defer cancel()
		e := a.DB.RunInTx(cleanup, func(ctx context.Context, tx database.Tx) error { return a.privacy.store.remove(ctx, tx, row.ID) })
		if e != nil {
			a.Log.Warn("deleting a request for erasure that was refused", zap.String("request_id", row.ID), zap.Error(e))
		}
		return subjects.CreatedPrivacyRequest{}, err
	}
	now, err := idempotency.Step(ctx, a.DB, "erasing", func(ctx context.Context, tx database.Tx) (privacyRow, error) {
		now, err := a.privacy.store.lock(ctx, tx, row.ID)
		if err != nil || now.ErasureID != "" {
			return now, err
		}
		now.ErasureID = started.ErasureID
		return now, a.privacy.link(ctx, tx, now)
	})
	if err != nil {
		return subjects.CreatedPrivacyRequest{}, err
	}
	now.UserID = row.UserID // the row may have the pseudonym already
	done, err := a.privacy.store.actorsOf(ctx, row.ID)
	return subjects.CreatedPrivacyRequest{PrivacyRequest: now.resource(done[row.ID], a.Now()), ErasureToken: started.Token}, err
}

func (a privacyHandlers) getPrivacyRequest(ctx context.Context, r subjects.PrivacyRequestRequest) (subjects.PrivacyRequest, error) {
	row, err := a.privacy.store.request(ctx, actors.CallerFrom(ctx).UserID, r.RequestID)
	if err != nil {
		return subjects.PrivacyRequest{}, err
	}
	return a.privacyResource(ctx, row)
}

// privacyResource returns a request with the progress of the actors.
func (a privacyHandlers) privacyResource(ctx context.Context, row privacyRow) (subjects.PrivacyRequest, error) {
	done, err := a.privacy.store.actorsOf(ctx, row.ID)
	return row.resource(done[row.ID], a.Now()), err
}

func (a privacyHandlers) listPrivacyRequests(ctx context.Context, r subjects.ListPrivacyRequestsRequest) (subjects.Page[subjects.PrivacyRequest], error) {
	return a.pageOfRequests(ctx, actors.CallerFrom(ctx).UserID, subjects.ListAllPrivacyRequestsRequest{ListPrivacyRequestsRequest: r})
}

// pageOfRequests returns a page of a user's requests, or of all users' if userID is empty.
func (a privacyHandlers) pageOfRequests(
	ctx context.Context, userID string, r subjects.ListAllPrivacyRequestsRequest,
) (subjects.Page[subjects.PrivacyRequest], error) {
	none := subjects.Page[subjects.PrivacyRequest]{}
	after, err := actors.DecodeCursor(r.Cursor, 1)
	if err != nil {
		return none, err
	}
	rows, err := a.privacy.store.page(ctx, userID, r, after[0])
	if err != nil {
		return none, err
	}
	ids := make([]string, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	done, err := a.privacy.store.actorsOf(ctx, ids...)
	if err != nil {
		return none, err
	}
	items := make([]subjects.PrivacyRequest, len(rows))
	for i, row := range rows {
		items[i] = row.resource(done[row.ID], a.Now())
	}
	return actors.PageOf(items, r.PageLimit(), func(p subjects.PrivacyRequest) []string { return []string{p.ID} }), nil
}

// privacyExport returns the part of a request's file that begins at an offset.
func (a privacyHandlers) privacyExport(ctx context.Context, r subjects.ContentRequest) (subjects.ContentPart, error) {
	none := subjects.ContentPart{}
	row, err := a.privacy.store.request(ctx, actors.CallerFrom(ctx).UserID, strings.ToLower(r.ObjectID))
	if err != nil {
		return none, err
	}
	file := row.file(a.Now().UnixMicro())
	if file == nil {
		return none, errNoPrivacyRequest
	}
	if r.Offset > file.Size {
		return none, subjects.InvalidField("offset", "must be at most the size, %d", file.Size)
	}
	part := subjects.ContentPart{
		Name: file.Name, ContentType: file.ContentType, Size: file.Size, SHA256: file.SHA256, Offset: r.Offset, Content: []byte{},
	}
	if r.Offset == file.Size {
		return part, nil
	}
	content, err := a.privacy.readPart(ctx, row, r.Offset/exportPart)
	if err != nil {
		return none, err
	}
	part.Content = content[r.Offset%exportPart:]
	return part, nil
}

// listAllPrivacyRequests lists the requests of all users, without the files.
func (a privacyHandlers) listAllPrivacyRequests(
	ctx context.Context, r subjects.ListAllPrivacyRequestsRequest,
) (subjects.Page[subjects.PrivacyRequest], error) {
	page, err := a.pageOfRequests(ctx, "", r)
	for i := range page.Items {
		page.Items[i].Export = nil
	}
	return page, err
}

// changeRequest changes a request in progress for an admin.
func (a privacyHandlers) changeRequest(
	ctx context.Context, id string, change func(context.Context, database.Tx, privacyRow) (privacyRow, error),
) (subjects.PrivacyRequest, error) {
	row, err := idempotency.Step(ctx, a.DB, "change", func(ctx context.Context, tx database.Tx) (privacyRow, error) {
		row, err := a.privacy.store.lock(ctx, tx, id)
		if err != nil {
			return row, err
		}
		if row.Status != subjects.PrivacyInProgress {
			return row, subjects.Errorf(subjects.CodeConflict, "the request has ended")
		}
		return change(ctx, tx, row)
	})
	if err != nil {
		return subjects.PrivacyRequest{}, err
	}
	a.Log.Info("an admin has changed a privacy request", zap.String("request_id", id), zap.String("status", row.Status),
		zap.String("admin", actors.CallerFrom(ctx).UserID))
	res, err := a.privacyResource(ctx, row)
	res.Export = nil
	return res, err
}

// extendPrivacyRequest extends a request once, within its first month.
func (a privacyHandlers) extendPrivacyRequest(ctx context.Context, r subjects.ExtendPrivacyRequestRequest) (subjects.PrivacyRequest, error) {
	return a.changeRequest(ctx, r.RequestID, func(ctx context.Context, tx database.Tx, row privacyRow) (privacyRow, error) {
		now := a.Now()
		switch {
		case row.ExtendedAt != 0:
			return row, subjects.Errorf(subjects.CodeConflict, "the request was extended already")
		case now.UnixMicro() >= row.DueAt:
			return row, subjects.Errorf(subjects.CodeConflict, "the first month is over, within which the user must be told")
		}
		row.ExtendedAt, row.ExtensionReason = now.UnixMicro(), r.Reason
		row.DueAt = addMonths(microTime(row.RequestedAt), responseMonths+extensionMonths).UnixMicro()
		if err := a.privacy.store.save(ctx, tx, row); err != nil {
			return row, err
		}
		return row, a.privacy.publish(ctx, tx, row, "extended")
	})
}

// resolvePrivacyRequest ends a request.
func (a privacyHandlers) resolvePrivacyRequest(ctx context.Context, r subjects.ResolvePrivacyRequestRequest) (subjects.PrivacyRequest, error) {
	return a.changeRequest(ctx, r.RequestID, func(ctx context.Context, tx database.Tx, row privacyRow) (privacyRow, error) {
		if row.Kind == subjects.PrivacyErasure {
			return row, subjects.Errorf(subjects.CodeConflict, "an erasure ends when every actor has confirmed it")
		}
		return a.privacy.end(ctx, tx, row, r.Status, r.Note)
	})
}

// requestPeriod is the period of consent.privacy.max_requests_per_month, which ends now.
const requestPeriod = 30 * 24 * time.Hour
