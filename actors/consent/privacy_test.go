package consent_test

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/consent"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// TestAccess: an answer has what every actor holds, consents included, as JSON and as CSV; only its owner gets it, and when it has expired or
// another one replaces it, nothing is left of it. Of the data a request for portability has what is not derived.
func TestAccess(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, actortest.WithClock(clock.Now))
		f.startOthers(t)
		user := actortest.User()
		ada, eve := f.user(t, user), f.user(t, actortest.User())
		granted := f.grant(t, ada, subjects.ScopeWorkflowsRead)
		f.grant(t, eve, subjects.ScopeWorkflowsRead)

		asked := f.request(t, ada, subjects.CreatePrivacyRequestRequest{Kind: subjects.PrivacyAccess})
		if asked.Status != subjects.PrivacyInProgress || asked.DueAt.Sub(asked.RequestedAt) < 28*24*time.Hour || len(asked.Actors) != 5 {
			t.Errorf("asked: %+v", asked)
		}
		done := f.ended(t, ada, asked.ID)
		files := f.download(t, ada, done.Export)
		things := decodeJSON[[]map[string]any](t, files["workflow/things.json"])
		if len(things) != 2 || things[0]["text"] != "=of "+user || things[1]["text"] != "two" {
			t.Errorf("workflow has %v", things)
		}
		consents := decodeJSON[[]map[string]any](t, files["consent/consents.json"])
		if len(consents) != 1 || consents[0]["id"] != granted.ID || consents[0]["user_id"] != user {
			t.Errorf("consents: %v", consents)
		}
		if counts := files["auth/counts.json"]; decodeJSON[[]map[string]int](t, counts)[0]["n"] != 7 {
			t.Errorf("counts: %s", counts)
		}
		index := decodeJSON[struct{ Files []struct{ Path string } }](t, files["manifest.json"])
		if len(index.Files) != len(files)-2 { // without the manifest and processing.json
			t.Errorf("the manifest lists %d files of %d: %s", len(index.Files), len(files), files["manifest.json"])
		}
		for _, of := range done.Actors {
			if of.Status != "done" || of.Actor != "consent" && of.Items != 3 || of.Items == 0 {
				t.Errorf("%+v", of)
			}
		}
		wantCode(t, f, subjects.CodeNotFound, subjects.GetPrivacyExport, eve, subjects.ContentRequest{ObjectID: done.Export.ID})
		wantCode(t, f, subjects.CodeNotFound, subjects.GetPrivacyRequest, eve, subjects.PrivacyRequestRequest{RequestID: asked.ID})
		key := f.user(t, user)
		key.Token = f.mesh.Token(t, user, actortest.WithAPIKey(actortest.User(), strings.Join(subjects.Scopes(), " ")))
		wantCode(t, f, subjects.CodeForbidden, subjects.GetPrivacyExport, key, subjects.ContentRequest{ObjectID: done.Export.ID})

		second := f.request(t, ada, subjects.CreatePrivacyRequestRequest{Kind: subjects.PrivacyAccess, Format: "csv"})
		files = f.download(t, ada, f.ended(t, ada, second.ID).Export)
		rows, err := csv.NewReader(strings.NewReader(files["workflow/things.csv"])).ReadAll()
		if err != nil || len(rows) != 3 || rows[0][1] != "text" || rows[1][1] != "'=of "+user || rows[2][0] != "2" {
			t.Errorf("CSV: %v, %v", rows, err)
		}
		wantCode(t, f, subjects.CodeNotFound, subjects.GetPrivacyExport, ada, subjects.ContentRequest{ObjectID: done.Export.ID})

		portable := f.request(t, ada, subjects.CreatePrivacyRequestRequest{Kind: subjects.PrivacyPortability})
		portableDone := f.ended(t, ada, portable.ID)
		if files := f.download(t, ada, portableDone.Export); files["auth/things.json"] == "" || files["auth/counts.json"] != "" {
			t.Errorf("a request for portability has %d files", len(files))
		}
		if list := call(t, f, subjects.ListPrivacyRequests, ada, subjects.ListPrivacyRequestsRequest{}); len(list.Items) != 3 || list.Items[0].ID != portable.ID {
			t.Errorf("listed %+v", list)
		}
		clock.Advance(8 * 24 * time.Hour)
		ada = f.user(t, user)
		wantCode(t, f, subjects.CodeNotFound, subjects.GetPrivacyExport, ada, subjects.ContentRequest{ObjectID: portableDone.Export.ID})
		f.stop(t)
		f.start(t)
		actortest.Eventually(t, "the parts are deleted", func() bool { return f.exportParts(t) == 0 })
	})
}

// exportParts is the number of parts in the object store.
func (f *fixture) exportParts(t *testing.T) uint64 {
	t.Helper()
	stream, err := f.mesh.Conn(t, "operator").JS.Stream(t.Context(), kv.ConsentExports.Stream())
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State.Msgs
}

// TestAccessToManyConsents: the receipt of every consent is exported, also where there are more than are made at a time.
func TestAccessToManyConsents(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0], actortest.Quiet())
	f.startOthers(t)
	ada := f.user(t, actortest.User())
	const consents = 45
	for range consents {
		f.grant(t, ada, subjects.ScopeWorkflowsRead)
	}
	asked := f.request(t, ada, subjects.CreatePrivacyRequestRequest{Kind: subjects.PrivacyAccess})
	files := f.download(t, ada, f.ended(t, ada, asked.ID).Export)
	for _, path := range []string{"consent/consents.json", "consent/receipts.json"} {
		if n := len(decodeJSON[[]map[string]any](t, files[path])); n != consents {
			t.Errorf("%s has %d records, want %d", path, n, consents)
		}
	}
}

// TestAccessIsTriedAgain: while an actor does not answer, the request says which, and is answered when it does; a restart in between loses
// nothing.
func TestAccessIsTriedAgain(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		config := consent.DefaultConfig()
		config.Privacy.Retry = time.Hour
		f := setupWith(t, database, config, actortest.WithClock(clock.Now))
		others := f.startOthers(t)
		others.fail["workflow"] = 2
		user := actortest.User()
		ada := f.user(t, user)
		asked := f.request(t, ada, subjects.CreatePrivacyRequestRequest{Kind: subjects.PrivacyAccess})
		var p subjects.PrivacyRequest
		problem := func() bool {
			p = call(t, f, subjects.GetPrivacyRequest, ada, subjects.PrivacyRequestRequest{RequestID: asked.ID})
			return p.Problem != ""
		}
		actortest.Eventually(t, "the first attempt has failed", problem)
		if p.Status != subjects.PrivacyInProgress || p.Problem != "workflow did not answer: unavailable" || p.Export != nil {
			t.Errorf("after a failure: %+v", p)
		}
		wantCode(t, f, subjects.CodeConflict, subjects.CreatePrivacyRequest, ada, subjects.CreatePrivacyRequestRequest{Kind: subjects.PrivacyAccess})
		for range 2 {
			f.stop(t)
			clock.Advance(3 * time.Hour)
			f.start(t)
			actortest.Eventually(t, "it was tried again", func() bool {
				others.mu.Lock()
				defer others.mu.Unlock()
				return others.fail["workflow"] == 0
			})
		}
		if done := f.ended(t, f.user(t, user), asked.ID); done.Problem != "" || done.Status != subjects.PrivacyCompleted {
			t.Errorf("in the end: %+v", done)
		}
	})
}

// TestExportIsBounded: a file that exceeds the bound is not stored, and the request says so.
func TestExportIsBounded(t *testing.T) {
	t.Parallel()
	config := consent.DefaultConfig()
	config.Privacy.MaxExport = 1 << 20
	f := setupWith(t, actortest.Databases(t)[0], config)
	f.startOthers(t)
	user := actortest.User()
	ada := f.user(t, user)
	f.grant(t, ada, subjects.ScopeWorkflowsRead)
	f.stop(t)
	for range 100 { // incompressible
		actortest.Exec(t, f.db, "INSERT INTO privacy_requests SELECT ?, ?, 'access', 'completed', 'json', '[]', ?, '', 1, 1, 0, '', 1, '', 0, 0, '', '', NULL, 0, 0, '', 0",
			actortest.User(), user, randomText(24<<10))
	}
	f.start(t)
	asked := f.request(t, ada, subjects.CreatePrivacyRequestRequest{Kind: subjects.PrivacyAccess})
	actortest.Eventually(t, "the request says so", func() bool {
		p := call(t, f, subjects.GetPrivacyRequest, ada, subjects.PrivacyRequestRequest{RequestID: asked.ID})
		return p.Problem == "the file exceeds consent.privacy.max_export"
	})
}

// TestRequestsAreChecked: each field belongs to a kind, and the number of requests of a month is bounded.
func TestRequestsAreChecked(t *testing.T) {
	t.Parallel()
	config := consent.DefaultConfig()
	config.Privacy.MaxRequestsPerMonth = 1
	f := setupWith(t, actortest.Databases(t)[0], config)
	ada := f.user(t, actortest.User())
	change := []subjects.RectificationChange{{Field: "last_name", Value: "L"}}
	for field, r := range map[string]subjects.CreatePrivacyRequestRequest{
		"fields":          {Kind: subjects.PrivacyRectification},
		"format":          {Kind: subjects.PrivacyRectification, Fields: change, Format: "csv"},
		"password":        {Kind: subjects.PrivacyAccess, Password: "secret"},
		"code":            {Kind: subjects.PrivacyPortability, Code: "123456"},
		"fields[1].field": {Kind: subjects.PrivacyRectification, Fields: append(change, change...)},
	} {
		if e := wantCode(t, f, subjects.CodeInvalid, subjects.CreatePrivacyRequest, ada, r); e.Fields[0].Field != field {
			t.Errorf("%+v: the field is %s", r, e.Fields[0].Field)
		}
	}
	wantCode(t, f, subjects.CodeInvalid, subjects.CreatePrivacyRequest, ada, subjects.CreatePrivacyRequestRequest{Kind: subjects.PrivacyAccess, Fields: change})
	f.request(t, ada, subjects.CreatePrivacyRequestRequest{Kind: subjects.PrivacyRectification, Fields: change})
	e := wantCode(t, f, subjects.CodeRateLimited, subjects.CreatePrivacyRequest, ada, subjects.CreatePrivacyRequestRequest{Kind: subjects.PrivacyAccess})
	if !strings.Contains(e.Detail, "(consent.privacy.max_requests_per_month)") {
		t.Errorf("refused: %v", e)
	}
}

// TestRectification: what the user corrects in the profile is marked, and the last field ends the request; what only an admin can correct ends
// with the admin's note, or is extended once, within a month.
func TestRectification(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, actortest.WithClock(clock.Now))
		user := actortest.User()
		ada, admin := f.user(t, user), f.user(t, actortest.User())
		admin.Token = f.mesh.Token(t, actortest.User(), actortest.WithRoles(subjects.RoleUser, subjects.RoleAdmin))
		updated := func(fields ...string) {
			event, err := json.Marshal(subjects.UserUpdatedEvent.New(actortest.User(), user, f.mesh.Now(), subjects.UserUpdated{UserID: user, Fields: fields}))
			if err == nil {
				_, err = f.mesh.Conn(t, "auth").JS.Publish(t.Context(), subjects.UserUpdatedEvent.Subject, event)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		asked := f.request(t, ada, subjects.CreatePrivacyRequestRequest{Kind: subjects.PrivacyRectification, Fields: []subjects.RectificationChange{
			{Field: "last_name", Value: "Lovelace"}, {Field: "time_zone", Value: "Europe/London"},
		}})
		get := func() subjects.PrivacyRequest {
			return call(t, f, subjects.GetPrivacyRequest, ada, subjects.PrivacyRequestRequest{RequestID: asked.ID})
		}
		updated("last_name", "locale")
		actortest.Eventually(t, "one is corrected", func() bool { return get().Fields[0].Corrected })
		if p := get(); p.Fields[1].Corrected || p.Status != subjects.PrivacyInProgress {
			t.Errorf("after one correction: %+v", p)
		}
		updated("time_zone")
		if p := f.ended(t, ada, asked.ID); p.Status != subjects.PrivacyCompleted || p.Resolution == "" || p.EndedAt == nil {
			t.Errorf("after both: %+v", p)
		}

		asked = f.request(t, ada, subjects.CreatePrivacyRequestRequest{Kind: subjects.PrivacyRectification, Note: "please",
			Fields: []subjects.RectificationChange{{Field: "calls.message", Value: "it was not me"}}})
		extend := subjects.ExtendPrivacyRequestRequest{RequestID: asked.ID, Reason: "the provider must answer"}
		wantCode(t, f, subjects.CodeForbidden, subjects.ExtendPrivacyRequest, ada, extend)
		extended := call(t, f, subjects.ExtendPrivacyRequest, admin, extend)
		if extended.DueAt.Sub(asked.DueAt) < 58*24*time.Hour || extended.ExtensionReason != extend.Reason || extended.UserID != user {
			t.Errorf("extended: %+v", extended)
		}
		wantCode(t, f, subjects.CodeConflict, subjects.ExtendPrivacyRequest, admin, extend)
		before := f.mesh.Now().Add(100 * 24 * time.Hour)
		due := call(t, f, subjects.ListAllPrivacyRequests, admin, subjects.ListAllPrivacyRequestsRequest{DueBefore: &before})
		if len(due.Items) != 1 || due.Items[0].ID != asked.ID || due.Items[0].Note != "please" {
			t.Errorf("due: %+v", due)
		}
		resolve := subjects.ResolvePrivacyRequestRequest{RequestID: asked.ID, Status: subjects.PrivacyRejected, Note: "the log is right; complain at …"}
		wantCode(t, f, subjects.CodeForbidden, subjects.ResolvePrivacyRequest, ada, resolve)
		call(t, f, subjects.ResolvePrivacyRequest, admin, resolve)
		if p := get(); p.Status != subjects.PrivacyRejected || p.Resolution != resolve.Note || p.ExtendedAt == nil {
			t.Errorf("resolved: %+v", p)
		}
		wantCode(t, f, subjects.CodeConflict, subjects.ResolvePrivacyRequest, admin, resolve)
		var changes []string
		actortest.Eventually(t, "the changes are published", func() bool {
			changes = nil
			for _, e := range actortest.Events[subjects.PrivacyRequestChange](t, f.mesh, subjects.PrivacyRequestChanged.Subject) {
				changes = append(changes, e.Data.Change)
			}
			return len(changes) == 5
		})
		if got := strings.Join(changes, " "); got != "received completed received extended rejected" {
			t.Errorf("published %s", got)
		}
		late := f.request(t, ada, subjects.CreatePrivacyRequestRequest{Kind: subjects.PrivacyRectification, Fields: []subjects.RectificationChange{{Field: "x", Value: "y"}}})
		clock.Advance(32 * 24 * time.Hour)
		admin.Token = f.mesh.Token(t, actortest.User(), actortest.WithRoles(subjects.RoleUser, subjects.RoleAdmin))
		wantCode(t, f, subjects.CodeConflict, subjects.ExtendPrivacyRequest, admin, subjects.ExtendPrivacyRequestRequest{RequestID: late.ID, Reason: "late"})
	})
}

// TestErasureRequest: a request for erasure carries the user's proof to auth, is none if auth refuses it, and follows the confirmations of the
// actors; of the user nothing is left in it, in the other requests and in the files.
func TestErasureRequest(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database)
		others := f.startOthers(t)
		user, session := actortest.User(), actortest.User()
		ada := f.user(t, user)
		ada.Token = f.mesh.Token(t, user, actortest.WithSession(session))
		admin := f.user(t, actortest.User())
		admin.Token = f.mesh.Token(t, actortest.User(), actortest.WithRoles(subjects.RoleAdmin))
		access := f.request(t, ada, subjects.CreatePrivacyRequestRequest{Kind: subjects.PrivacyAccess, Note: "ada's own note"})
		f.ended(t, ada, access.ID)
		others.erase = func(c actors.Caller, r subjects.EraseAccountRequest) (subjects.ErasureStarted, error) {
			switch {
			case c.UserID != user || c.Service != "consent" || r.SessionID != session:
				return subjects.ErasureStarted{}, errors.New("the caller is another one")
			case r.Password != "right":
				return subjects.ErasureStarted{}, subjects.InvalidField("password", "is not the password of this account")
			}
			return subjects.ErasureStarted{ErasureID: actortest.User(), Token: "t0ken", Status: "erasing"}, nil
		}
		e := wantCode(t, f, subjects.CodeInvalid, subjects.CreatePrivacyRequest, ada, subjects.CreatePrivacyRequestRequest{Kind: subjects.PrivacyErasure, Password: "wrong"})
		if e.Fields[0].Field != "password" {
			t.Errorf("refused: %v", e)
		}
		if list := call(t, f, subjects.ListPrivacyRequests, ada, subjects.ListPrivacyRequestsRequest{Kind: subjects.PrivacyErasure}); len(list.Items) != 0 {
			t.Errorf("a refused request is listed: %+v", list)
		}
		started := call(t, f, subjects.CreatePrivacyRequest, ada, subjects.CreatePrivacyRequestRequest{Kind: subjects.PrivacyErasure, Password: "right"})
		if started.ErasureToken != "t0ken" || started.ErasureID == "" || started.Actors[0].Status != "done" {
			t.Errorf("started: %+v", started)
		}
		f.erasing(t, user, started.ErasureID)
		var p subjects.PrivacyRequest
		actortest.Eventually(t, "all have confirmed", func() bool {
			list := call(t, f, subjects.ListAllPrivacyRequests, admin, subjects.ListAllPrivacyRequestsRequest{})
			for _, p = range list.Items {
				if p.ID == started.ID {
					return p.Status == subjects.PrivacyCompleted
				}
			}
			return false
		})
		for _, of := range p.Actors {
			if of.Status != "done" {
				t.Errorf("%+v", of)
			}
		}
		actortest.Eventually(t, "the parts of the file are deleted", func() bool { return f.exportParts(t) == 0 })
		f.stop(t)
		if tables := actortest.Dump(t, f.db); strings.Contains(tables, user) || strings.Contains(tables, "ada's own note") {
			t.Error("the tables still have the user or what the user wrote")
		} else if !strings.Contains(tables, access.ID) || !strings.Contains(tables, started.ID) {
			t.Error("that there were requests is forgotten")
		}
	})
}
