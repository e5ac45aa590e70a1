package consent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/dataexport"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// privacyLease is how long an attempt may take for one part of its file before another process takes over.
	privacyLease = 2 * time.Minute
	// privacyEvery is how often a process looks for requests that others have left, and for files that have expired.
	privacyEvery = 10 * time.Second
	// expiredExports is how many expired files one query returns.
	expiredExports = 100
	// unconfirmedErasure is how long a request for erasure is kept of which auth has said nothing.
	unconfirmedErasure = time.Hour
)

// privacy answers requests under data protection law. Requests are rows, and what is to be done is derived from them: each process looks for
// requests that are due, claims one, collects what the actors hold into a file and stores that in sealed parts. A process that is killed or
// paused loses its claim, and another one begins again; parts of an attempt that has lost its claim are not the file's.
type privacy struct {
	actors.Deps

	config   PrivacyConfig
	store    privacyStore
	parts    *kv.ObjectStore
	metrics  privacyMetrics
	exporter *dataexport.Exporter
	// about are further documents of a file that answers a request for access.
	about func(ctx context.Context) (any, error)
	wake  wait.Signal
}

// openPrivacy opens the store of files.
func openPrivacy(ctx context.Context, d actors.Deps, c PrivacyConfig, set dataexport.Set) (*privacy, error) {
	parts, err := kv.OpenObjects(ctx, d.Conn.JS, kv.ConsentExports)
	if err != nil {
		return nil, fmt.Errorf("opening the store of exports: %w", err)
	}
	return &privacy{
		Deps: d, config: c, store: privacyStore{d.DB}, parts: parts, metrics: newPrivacyMetrics(d.Metrics), exporter: dataexport.New(d, set),
		wake: wait.NewSignal(),
	}, nil
}

// publish publishes a change of a request. Of a request for erasure nothing is published: its account is deleted.
func (p *privacy) publish(ctx context.Context, tx database.Tx, row privacyRow, change string) error {
	p.DB.AfterCommit(ctx, func() { p.metrics.changes.WithLabelValues(row.Kind, change).Inc() })
	if row.Kind == subjects.PrivacyErasure {
		return nil
	}
	id := p.NewID()
	data, err := subjects.Encode(subjects.PrivacyRequestChanged.New(id, row.UserID, p.Now(), subjects.PrivacyRequestChange{
		RequestID: row.ID, Kind: row.Kind, Change: change, DueAt: microTime(row.DueAt),
	}))
	if err != nil {
		return fmt.Errorf("encoding an event: %w", err)
	}
	return p.Outbox.Add(ctx, tx, outbox.Message{ID: "event." + id, Subject: subjects.PrivacyRequestChanged.Subject, Key: row.UserID, Data: data})
}

// end ends a locked request.
func (p *privacy) end(ctx context.Context, tx database.Tx, row privacyRow, status, resolution string) (privacyRow, error) {
	row.Status, row.Resolution, row.EndedAt, row.NextAt, row.Problem = status, resolution, p.Now().UnixMicro(), 0, ""
	if err := p.store.save(ctx, tx, row); err != nil {
		return row, err
	}
	return row, p.publish(ctx, tx, row, status)
}

// run answers requests, and deletes files that have expired, until ctx ends.
func (p *privacy) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := p.sweep(ctx); err != nil {
			return err
		}
		for {
			row, found, err := p.claim(ctx)
			if err != nil {
				return err
			}
			if !found {
				break
			}
			if err := p.answer(ctx, row); err != nil {
				return err
			}
		}
		if p.wake.Wait(ctx, privacyEvery) != nil {
			return nil //nolint:nilerr // ctx has ended
		}
	}
	return nil
}

// claim claims a request that is due, and deletes what an attempt before has stored.
func (p *privacy) claim(ctx context.Context) (row privacyRow, found bool, err error) {
	attempt, now := p.NewID(), p.Now()
	row, found, err = p.store.claim(ctx, attempt, now, now.Add(privacyLease))
	if err != nil || !found {
		return row, false, err
	}
	before, parts := row.Attempt, row.FileParts
	row.Attempt = attempt
	row.Attempts++
	return row, true, p.deleteParts(ctx, before, parts)
}

// answer answers a claimed request. An attempt that fails is repeated later; the error is one of the database.
func (p *privacy) answer(ctx context.Context, row privacyRow) error {
	err := p.collect(ctx, row)
	switch {
	case err == nil || ctx.Err() != nil:
		return nil //nolint:nilerr // the claim of a process that stops ends by itself
	case errors.Is(err, errClaimLost):
		p.Log.Info("the claim of a privacy request was lost", zap.String("request_id", row.ID))
		return nil
	}
	p.Log.Warn("answering a privacy request; it is tried again", zap.String("request_id", row.ID), zap.Int("attempts", row.Attempts), zap.Error(err))
	p.metrics.failures.Inc()
	return p.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		now, err2 := p.store.lock(ctx, tx, row.ID)
		if err2 != nil || now.Attempt != row.Attempt || now.NextAt == 0 {
			return err2
		}
		now.NextAt, now.Problem = p.Now().Add(retryAfter(p.config.Retry, row.Attempts-1)).UnixMicro(), problemOf(err)
		return p.store.save(ctx, tx, now)
	})
}

// collectError is the failure of one actor.
type collectError struct {
	actor string
	err   error
}

func (e *collectError) Error() string { return e.actor + ": " + e.err.Error() }
func (e *collectError) Unwrap() error { return e.err }

// problemOf is what is shown of a failed attempt: which actor and which class of error, nothing from inside.
func problemOf(err error) string {
	var of *collectError
	switch {
	case errors.Is(err, errExportTooLarge):
		return errExportTooLarge.Error()
	case errors.As(err, &of):
		return of.actor + " did not answer: " + string(subjects.CodeOf(of.err))
	}
	return "the file could not be stored"
}

// collect collects what all actors hold of the request's user, stores it as the request's file and ends the request.
func (p *privacy) collect(ctx context.Context, row privacyRow) error {
	file, sealedKey, err := p.newFile(ctx, row)
	if err != nil {
		return err
	}
	a := newArchive(file, row.Format, p.Now())
	items := map[string]int64{}
	for _, actor := range privacyActors() {
		if items[actor], err = p.collectActor(ctx, a, file, row, actor); err != nil {
			return err
		}
	}
	if p.about != nil && row.Kind == subjects.PrivacyAccess {
		about, err := p.about(ctx)
		if err == nil {
			err = a.document("processing.json", about)
		}
		if err != nil {
			return err
		}
	}
	err = a.close(manifest{
		RequestID: row.ID, Kind: row.Kind, UserID: row.UserID, Format: row.Format, CreatedAt: p.Now().UTC(), About: aboutExport[row.Kind],
	})
	if err != nil {
		return err
	}
	sum, err := file.close()
	if err != nil {
		return err
	}
	return p.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		return p.finish(ctx, tx, row, file, sealedKey, sum, items)
	})
}

// aboutExport says what an export has.
var aboutExport = map[string]string{
	subjects.PrivacyAccess: "Everything that this service holds of you (GDPR Art. 15). Passwords, keys and tokens are left out. processing.json says what it is " +
		"processed for, who receives it and how long it is kept.",
	subjects.PrivacyPortability: "What you have provided to this service and what it has observed of your use of it, in a form that machines can read " +
		"(GDPR Art. 20). Passwords, keys and tokens are left out.",
}

// finish records a file as the request's.
func (p *privacy) finish(
	ctx context.Context, tx database.Tx, row privacyRow, file *fileWriter, sealedKey []byte, sum string, items map[string]int64,
) error {
	now, err := p.store.lock(ctx, tx, row.ID)
	if err != nil {
		return err
	}
	if now.Attempt != row.Attempt || now.NextAt == 0 || now.Status != subjects.PrivacyInProgress {
		return errClaimLost
	}
	for actor, n := range items {
		if err := p.store.putActor(ctx, tx, privacyActorRow{RequestID: row.ID, Actor: actor, Items: n, At: p.Now().UnixMicro()}); err != nil {
			return err
		}
	}
	now.FileKey, now.FileParts, now.FileSize, now.FileSHA256 = sealedKey, file.count, file.size, sum
	now.FileExpiresAt = p.Now().Add(p.config.KeepExports).UnixMicro()
	if err := p.store.expireOthers(ctx, tx, now, p.Now()); err != nil {
		return err
	}
	p.metrics.exported.Add(float64(file.size))
	_, err = p.end(ctx, tx, now, subjects.PrivacyCompleted, "The file is ready.")
	return err
}

// collectActor adds what an actor holds to the archive, and returns the number of records.
func (p *privacy) collectActor(ctx context.Context, a *archive, file *fileWriter, row privacyRow, actor string) (items int64, err error) {
	for cursor := ""; ; {
		if err := file.renew(ctx, file.count); err != nil {
			return 0, err
		}
		page, err := p.page(ctx, row.UserID, actor, cursor)
		if err != nil {
			return 0, &collectError{actor, err}
		}
		if row.Kind == subjects.PrivacyAccess || !page.Derived {
			items += int64(page.Records)
			if err := a.add(actor, page); err != nil {
				return 0, err
			}
		}
		if cursor = page.NextCursor; cursor == "" {
			return items, nil
		}
	}
}

// page returns a page of what an actor holds of a user.
func (p *privacy) page(ctx context.Context, userID, actor, cursor string) (subjects.SubjectRecords, error) {
	if actor == "consent" {
		return p.exporter.Page(ctx, userID, cursor)
	}
	return mesh.Call(ctx, p.Conn, subjects.SubjectExports()[actor], subjects.ExportSubjectRequest{Cursor: cursor}, mesh.As{Service: true, UserID: userID})
}

// sweep deletes files that have expired, and what a killed process has left of requests for erasure.
func (p *privacy) sweep(ctx context.Context) error {
	for {
		rows, err := p.store.expiredFiles(ctx, p.Now(), expiredExports)
		if err != nil {
			return err
		}
		for _, row := range rows {
			err := p.deleteParts(ctx, row.Attempt, row.FileParts)
			if err == nil {
				err = p.store.forgetFile(ctx, row.ID, row.Attempt)
			}
			if err != nil {
				return err
			}
		}
		if len(rows) < expiredExports {
			break
		}
	}
	overdue, err := p.store.overdue(ctx, p.Now())
	if err != nil {
		return err
	}
	p.metrics.overdue.Set(float64(overdue))
	return p.store.staleErasures(ctx, p.Now().Add(-unconfirmedErasure))
}

// resource returns the request as its owner sees it.
func (r privacyRow) resource(done []privacyActorRow, now time.Time) subjects.PrivacyRequest {
	res := subjects.PrivacyRequest{
		ID: r.ID, UserID: r.UserID, Kind: r.Kind, Status: r.Status, Format: r.Format, Fields: r.Fields, Note: r.Note, RequestedAt: microTime(r.RequestedAt),
		DueAt: microTime(r.DueAt), ExtendedAt: actors.OptionalTime(r.ExtendedAt), ExtensionReason: r.ExtensionReason, EndedAt: actors.OptionalTime(r.EndedAt),
		Resolution: r.Resolution, Problem: r.Problem, Export: r.file(now.UnixMicro()), ErasureID: r.ErasureID, Actors: []subjects.PrivacyActor{},
	}
	if r.Kind == subjects.PrivacyRectification {
		return res
	}
	for _, actor := range privacyActors() {
		of := subjects.PrivacyActor{Actor: actor, Status: "pending"}
		if i := slices.IndexFunc(done, func(d privacyActorRow) bool { return d.Actor == actor }); i >= 0 {
			of.Status, of.Items, of.At = "done", done[i].Items, actors.OptionalTime(done[i].At)
		}
		res.Actors = append(res.Actors, of)
	}
	return res
}

// microTime is a time of a row.
func microTime(micros int64) time.Time { return time.UnixMicro(micros).UTC() }
