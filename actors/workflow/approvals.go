package workflow

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// approvalPoll is how often questions whose time is over are looked for, orphansEvery how often those of executions
	// that have ended.
	approvalPoll = 500 * time.Millisecond
	orphansEvery = 5 * time.Second
	// deliverAfter is how long whoever decided has for telling the execution before somebody else does.
	deliverAfter  = 5 * time.Second
	approvalBatch = 100
)

// question is what approval.request is called with.
type question struct {
	Title     string          `json:"title"`
	Body      string          `json:"body"`
	Data      json.RawMessage `json:"data"`
	Timeout   any             `json:"timeout"`
	OnTimeout string          `json:"onTimeout"`
	Channels  []string        `json:"channels"`
}

// questionOf reads the arguments of approval.request.
func questionOf(arguments map[string]any) (q question, within time.Duration, err error) {
	wrong := func(format string, args ...any) error {
		return machine.NewError(machine.TypeValidation, "approval.request: "+fmt.Sprintf(format, args...))
	}
	decoder := json.NewDecoder(bytes.NewReader(language.Canonical(arguments)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&q); err != nil {
		return q, 0, wrong("%s", strings.TrimPrefix(err.Error(), "json: "))
	}
	q.OnTimeout = cmp.Or(q.OnTimeout, "expire")
	switch {
	case q.Title == "" || len(q.Title) > 200 || len(q.Body) > 20_000:
		return q, 0, wrong("title is required, of at most 200 bytes; body has at most 20000")
	case q.OnTimeout != "expire" && q.OnTimeout != "fail":
		return q, 0, wrong("onTimeout is expire or fail")
	case q.Timeout == nil:
		return q, 0, nil
	}
	if within, err = language.DurationOf(language.Normalize(q.Timeout)); err != nil {
		return q, 0, wrong("timeout: %v", err)
	}
	return q, max(within, time.Millisecond), nil
}

// requestApproval asks the user. The call is begun then, and ended by an answer, or by the end of its time. Asking again
// after a restart asks nothing new: where there is an answer already, it is the call's.
func (a *Actor) requestApproval(ctx context.Context, row engine.Row, call *machine.Call) (any, error) {
	q, within, err := questionOf(engine.ArgumentsOf(call))
	if err != nil {
		return nil, err
	}
	now := a.Now()
	asked := approvalRow{
		ID: engine.DerivedID("approval:" + call.Key + ":" + call.ID), UserID: row.UserID, ExecutionID: row.ID, WorkflowID: row.WorkflowID,
		Name: row.Name, CallID: call.ID, Title: machine.Storable(q.Title), Body: machine.Storable(q.Body), Data: string(q.Data), OnTimeout: q.OnTimeout,
		Status: subjects.ApprovalPending, CreatedAt: now.UnixMicro(),
	}
	if within > 0 {
		asked.ExpiresAt = now.Add(within).UnixMicro()
	}
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return addApproval(ctx, tx, asked) })
	if err != nil {
		return nil, database.Classify(err)
	}
	if asked, err = readApproval(ctx, a.DB.DB, asked.ID); err != nil {
		return nil, database.Classify(err)
	}
	if asked.Status != subjects.ApprovalPending {
		output, fault := answerOf(asked)
		if fault != nil {
			return nil, fault
		}
		return a.engine.Output(output)
	}
	if err := a.tellOfApproval(ctx, row, asked, q.Channels); err != nil {
		return nil, err
	}
	a.flows.approvals.WithLabelValues("asked").Inc()
	return nil, engine.ErrExternal
}

// tellOfApproval notifies the user of a question, once.
func (a *Actor) tellOfApproval(ctx context.Context, row engine.Row, asked approvalRow, channels []string) error {
	data := map[string]json.RawMessage{}
	for name, value := range map[string]string{
		"approval_id": asked.ID, "execution_id": row.ID, "workflow_id": row.WorkflowID, "link": "/v1/approvals/" + asked.ID,
	} {
		encoded, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("encoding data: %w", err)
		}
		data[name] = encoded
	}
	_, err := mesh.Call(ctx, a.Conn, subjects.SendNotification, subjects.SendNotificationRequest{
		UserID: row.UserID, Category: "workflow", Channels: channels, Subject: asked.Title,
		Body: cmp.Or(asked.Body, "The workflow "+row.Name+" asks you to decide."), Data: data, DedupeKey: row.ID + "/approval/" + asked.ID,
	}, as(row))
	return err
}

// answerOf is a settled question as its call's output, or error.
func answerOf(row approvalRow) (json.RawMessage, *machine.Error) {
	switch {
	case row.Status == subjects.ApprovalExpired && row.OnTimeout == "fail":
		return nil, machine.NewError(machine.TypeTimeout, "nobody decided in time")
	case row.Status == subjects.ApprovalWithdrawn:
		return nil, machine.NewError(machine.TypeRuntime, "the approval was withdrawn")
	}
	answer := map[string]any{"decision": row.Status, "approval_id": row.ID, "decided_at": machine.Moment(row.DecidedAt).Format(time.RFC3339Nano)}
	if row.Comment != "" {
		answer["comment"] = row.Comment
	}
	return language.Canonical(answer), nil
}

func (a *Actor) listApprovals(ctx context.Context, r subjects.ListApprovalsRequest) (subjects.Page[subjects.Approval], error) {
	var page subjects.Page[subjects.Approval]
	after, afterID, err := timeCursor(r.Cursor)
	if err != nil {
		return page, err
	}
	rows, err := pageOfApprovals(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r, after, afterID)
	if err != nil {
		return page, err
	}
	items := make([]subjects.Approval, 0, len(rows))
	for _, row := range rows {
		items = append(items, row.resource())
	}
	return actors.PageOf(items, r.PageLimit(), func(i subjects.Approval) []string { return timeKey(i.CreatedAt, i.ID) }), nil
}

func (a *Actor) findApproval(ctx context.Context, id string) (approvalRow, error) {
	row, err := readApproval(ctx, a.DB.DB, id)
	if err == nil && row.UserID != actors.CallerFrom(ctx).UserID {
		return approvalRow{}, errNoApproval
	}
	return row, err
}

func (a *Actor) getApproval(ctx context.Context, r subjects.ApprovalRequest) (subjects.Approval, error) {
	row, err := a.findApproval(ctx, r.ApprovalID)
	return row.resource(), err
}

func (a *Actor) decideApproval(ctx context.Context, r subjects.DecideApprovalRequest) (subjects.Approval, error) {
	ctx = a.DB.Detached(ctx) // the decision is kept before the execution is told of it; it is made once under any key
	row, err := a.findApproval(ctx, r.ApprovalID)
	if err != nil {
		return subjects.Approval{}, err
	}
	decision := map[string]string{"approve": subjects.ApprovalApproved, "reject": subjects.ApprovalRejected}[r.Decision]
	now := a.Now()
	if row.Status == subjects.ApprovalPending {
		execution, err := a.engine.Current(ctx, row.ExecutionID)
		if err != nil && !engine.IsNotFound(err) {
			return subjects.Approval{}, err
		}
		decided := row
		switch {
		case engine.IsNotFound(err) || execution.Ended():
			decided.Status, decided.DeliveredAt = subjects.ApprovalWithdrawn, now.UnixMicro()
		case row.ExpiresAt > 0 && row.ExpiresAt <= now.UnixMicro():
			decided.Status, decided.DecidedAt = subjects.ApprovalExpired, now.UnixMicro()
		default:
			decided.Status, decided.Comment, decided.DecidedAt = decision, machine.Storable(r.Comment), now.UnixMicro()
		}
		if row, err = a.settle(ctx, decided); err != nil {
			return subjects.Approval{}, err
		}
	}
	if row.Status != decision {
		return subjects.Approval{}, subjects.Errorf(subjects.CodeConflict, "the approval is %s", row.Status)
	}
	// The decision is kept: whoever cannot tell the execution now leaves that to the loop.
	if row.DeliveredAt == 0 {
		if err := a.answerCall(ctx, row); err != nil {
			a.Log.Warn("telling an execution of a decision", zap.String("approval_id", row.ID), zap.Error(err))
		}
	}
	return row.resource(), nil
}

// settle writes what became of a question, unless somebody else has; it returns what became of it.
func (a *Actor) settle(ctx context.Context, row approvalRow) (approvalRow, error) {
	settled := false
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		settled, err = settleApproval(ctx, tx, row)
		return err
	})
	if err != nil {
		return row, err
	}
	if settled {
		a.flows.approvals.WithLabelValues(row.Status).Inc()
		return row, nil
	}
	return readApproval(ctx, a.DB.DB, row.ID)
}

// answerCall ends the call that waits for an answer.
func (a *Actor) answerCall(ctx context.Context, row approvalRow) error {
	output, fault := answerOf(row)
	err := a.engine.CompleteCall(ctx, row.ExecutionID, row.CallID, output, fault)
	if err != nil && !engine.IsNotFound(err) {
		return err
	}
	return a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return deliveredApproval(ctx, tx, row.ID, a.Now()) })
}

// runApprovals ends questions whose time is over, delivers answers that were not, and closes what nobody waits for.
func (a *Actor) runApprovals(ctx context.Context) error {
	tick := time.NewTicker(approvalPoll)
	defer tick.Stop()
	swept := time.Time{}
	for {
		now := a.Now()
		rows, err := expiringApprovals(ctx, a.DB.DB, now, approvalBatch)
		if err != nil {
			return err
		}
		for _, row := range rows {
			row.Status, row.DecidedAt = subjects.ApprovalExpired, now.UnixMicro()
			if row, err = a.settle(ctx, row); err != nil {
				return err
			}
			a.deliverAnswer(ctx, row)
		}
		if rows, err = undeliveredApprovals(ctx, a.DB.DB, now.Add(-deliverAfter), approvalBatch); err != nil {
			return err
		}
		for _, row := range rows {
			a.deliverAnswer(ctx, row)
		}
		if now.Sub(swept) >= orphansEvery {
			swept = now
			found, err := hasOrphans(ctx, a.DB.DB)
			if err == nil && found {
				err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return withdrawOrphans(ctx, tx, now) })
			}
			if err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// deliverAnswer tells an execution of an answer, or leaves it to the next look.
func (a *Actor) deliverAnswer(ctx context.Context, row approvalRow) {
	if row.DeliveredAt > 0 {
		return
	}
	if err := a.answerCall(ctx, row); err != nil && ctx.Err() == nil {
		a.Log.Warn("telling an execution of a decision", zap.String("approval_id", row.ID), zap.Error(err))
	}
}
