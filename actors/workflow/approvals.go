package workflow

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
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
	// approvalPoll is the time between two passes over the approval requests, orphanPoll between two that look for those of
	// ended executions.
	approvalPoll = 500 * time.Millisecond
	orphanPoll   = 5 * time.Second
	// deliveryGrace is how long the process that took a decision has to deliver it before another one does.
	deliveryGrace = 5 * time.Second
	approvalBatch = 100
)

// approvals runs the function approval.request: it stores requests, notifies users, and completes the calls that wait for an
// answer, once each.
type approvals struct {
	actors.Deps

	engine  *engine.Engine
	metrics *metrics
	bounds  *bounds
}

// approvalArguments are the arguments of approval.request.
type approvalArguments struct {
	Title     string          `json:"title"`
	Body      string          `json:"body"`
	Data      json.RawMessage `json:"data"`
	Timeout   any             `json:"timeout"`
	OnTimeout string          `json:"onTimeout"`
	Channels  []string        `json:"channels"`
}

// approvalArgumentsOf decodes and checks the arguments of approval.request. The timeout is 0 if there is none.
func approvalArgumentsOf(arguments map[string]any) (a approvalArguments, timeout time.Duration, err error) {
	invalid := func(format string, args ...any) error {
		return machine.NewError(machine.TypeValidation, "approval.request: "+fmt.Sprintf(format, args...))
	}
	decoder := json.NewDecoder(bytes.NewReader(language.Canonical(arguments)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&a); err != nil {
		return a, 0, invalid("%s", strings.TrimPrefix(err.Error(), "json: "))
	}
	a.OnTimeout = cmp.Or(a.OnTimeout, "expire")
	switch {
	case a.Title == "" || len(a.Title) > 200 || len(a.Body) > 20_000:
		return a, 0, invalid("title is required and has at most 200 bytes; body has at most 20000")
	case a.OnTimeout != "expire" && a.OnTimeout != "fail":
		return a, 0, invalid("onTimeout must be expire or fail")
	case a.Timeout == nil:
		return a, 0, nil
	}
	if timeout, err = language.DurationOf(language.Normalize(a.Timeout)); err != nil {
		return a, 0, invalid("timeout: %v", err)
	}
	return a, max(timeout, time.Millisecond), nil
}

// request performs a call of approval.request. It stores the request and notifies the user, and returns engine.ErrExternal:
// the call completes with the answer, or when its time is over. Performed again after a restart, it finds the stored request,
// and returns its answer if there is one.
func (a *approvals) request(ctx context.Context, row engine.Row, call *machine.Call) (any, error) {
	arguments, timeout, err := approvalArgumentsOf(engine.ArgumentsOf(call))
	if err != nil {
		return nil, err
	}
	now := a.Now()
	approval := approvalRow{
		ID: engine.DerivedID("approval:" + call.Key + ":" + call.ID), UserID: row.UserID, ExecutionID: row.ID, WorkflowID: row.WorkflowID,
		Name: row.Name, CallID: call.ID, Title: machine.Storable(arguments.Title), Body: machine.Storable(arguments.Body),
		Data: string(arguments.Data), OnTimeout: arguments.OnTimeout, Status: subjects.ApprovalPending, CreatedAt: now.UnixMicro(),
	}
	if timeout > 0 {
		approval.ExpiresAt = now.Add(timeout).UnixMicro()
	}
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		if err := engine.HoldPartition(ctx, tx, row.Partition); err != nil {
			return err
		}
		inserted, err := insertApproval(ctx, tx, approval)
		if err != nil || !inserted {
			return err
		}
		return a.bounds.Reserve(ctx, tx, a.bounds.approvals, approval.UserID, 0)
	})
	if errors.Is(err, errLimitReached) {
		return nil, engine.FaultOf(err) // final: the user must answer requests first
	}
	if err != nil {
		return nil, database.Classify(err)
	}
	if approval, err = findApproval(ctx, a.DB.DB, approval.ID); err != nil {
		return nil, database.Classify(err)
	}
	if approval.Status != subjects.ApprovalPending {
		output, fault := answerOf(approval)
		if fault != nil {
			return nil, fault
		}
		return a.engine.Output(output)
	}
	if err := a.notify(ctx, row, approval, arguments.Channels); err != nil {
		return nil, err
	}
	a.metrics.approvals.WithLabelValues("asked").Inc()
	return nil, engine.ErrExternal
}

// notify tells the user of an approval request, once however often it is called.
func (a *approvals) notify(ctx context.Context, row engine.Row, approval approvalRow, channels []string) error {
	data := map[string]json.RawMessage{}
	for name, value := range map[string]string{
		"approval_id": approval.ID, "execution_id": row.PublicID(), "workflow_id": row.WorkflowID, "link": "/v1/approvals/" + approval.ID,
		"title": approval.Title, "body": approval.Body, "name": row.Name,
	} {
		encoded, err := subjects.Encode(value)
		if err != nil {
			return fmt.Errorf("encoding data: %w", err)
		}
		data[name] = encoded
	}
	_, err := mesh.Call(ctx, a.Conn, subjects.SendNotification, subjects.SendNotificationRequest{
		UserID: row.UserID, Category: "workflow", Channels: channels, Template: subjects.TemplateApprovalRequested,
		Data: data, DedupeKey: row.PublicID() + "/approval/" + approval.ID,
	}, onBehalfOf(row))
	return err
}

// answerOf returns the output of a call of approval.request, or its fault, for a request that is no longer pending.
func answerOf(row approvalRow) (json.RawMessage, *machine.Error) {
	switch {
	case row.Status == subjects.ApprovalExpired && row.OnTimeout == "fail":
		return nil, machine.NewError(machine.TypeTimeout, "the approval request expired")
	case row.Status == subjects.ApprovalWithdrawn:
		return nil, machine.NewError(machine.TypeRuntime, "the approval was withdrawn")
	}
	answer := map[string]any{"decision": row.Status, "approval_id": row.ID, "decided_at": machine.Moment(row.DecidedAt).Format(time.RFC3339Nano)}
	if row.Comment != "" {
		answer["comment"] = row.Comment
	}
	return language.Canonical(answer), nil
}

// find reads one of a user's approval requests.
func (a *approvals) find(ctx context.Context, userID, id string) (approvalRow, error) {
	row, err := findApproval(ctx, a.DB.DB, id)
	if err == nil && row.UserID != userID {
		return approvalRow{}, errNoApproval
	}
	return row, err
}

// decide records a decision, approved or rejected, and delivers it to the execution. It returns the request as it is after
// that, which has another status if it was settled before, has expired, or its execution has ended.
func (a *approvals) decide(ctx context.Context, row approvalRow, decision, comment string) (approvalRow, error) {
	if row.Status == subjects.ApprovalPending {
		execution, err := a.engine.Current(ctx, row.ExecutionID)
		if err != nil && !engine.IsNotFound(err) {
			return row, err
		}
		decided, now := row, a.Now().UnixMicro()
		switch {
		case engine.IsNotFound(err) || execution.Ended():
			decided.Status, decided.DeliveredAt = subjects.ApprovalWithdrawn, now
		case row.ExpiresAt > 0 && row.ExpiresAt <= now:
			decided.Status, decided.DecidedAt = subjects.ApprovalExpired, now
		default:
			decided.Status, decided.Comment, decided.DecidedAt = decision, machine.Storable(comment), now
		}
		if row, err = a.settle(ctx, decided); err != nil {
			return row, err
		}
	}
	if row.Status == decision {
		a.tryDeliver(ctx, row)
	}
	return row, nil
}

// settle writes the result of a pending approval request. It returns the request as it is after that: with another result if
// it was settled concurrently.
func (a *approvals) settle(ctx context.Context, row approvalRow) (approvalRow, error) {
	settled := false
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		settled, err = settleApproval(ctx, tx, row)
		return err
	})
	if err != nil {
		return row, err
	}
	if settled {
		a.metrics.approvals.WithLabelValues(row.Status).Inc()
		return row, nil
	}
	return findApproval(ctx, a.DB.DB, row.ID)
}

// deliver completes the call that waits for an answer.
func (a *approvals) deliver(ctx context.Context, row approvalRow) error {
	output, fault := answerOf(row)
	err := a.engine.CompleteCall(ctx, row.ExecutionID, row.CallID, output, fault)
	if err != nil && !engine.IsNotFound(err) {
		return err
	}
	return a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return markDelivered(ctx, tx, row.ID, a.Now()) })
}

// tryDeliver delivers an answer that is not delivered yet. If that fails, a later pass of run does.
func (a *approvals) tryDeliver(ctx context.Context, row approvalRow) {
	if row.DeliveredAt > 0 {
		return
	}
	if err := a.deliver(ctx, row); err != nil && ctx.Err() == nil {
		a.Log.Warn("delivering a decision to its execution", zap.String("approval_id", row.ID), zap.Error(err))
	}
}

// run expires approval requests, delivers answers that were not, and withdraws requests of ended executions, until ctx ends.
func (a *approvals) run(ctx context.Context) error {
	ticker := time.NewTicker(approvalPoll)
	defer ticker.Stop()
	orphansChecked := time.Time{}
	for {
		now := a.Now()
		if err := a.expire(ctx, now); err != nil {
			return err
		}
		undelivered, err := undeliveredApprovals(ctx, a.DB.DB, now.Add(-deliveryGrace), approvalBatch)
		if err != nil {
			return err
		}
		for _, row := range undelivered {
			a.tryDeliver(ctx, row)
		}
		if now.Sub(orphansChecked) >= orphanPoll {
			orphansChecked = now
			if err := a.withdrawOrphans(ctx, now); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// expire settles and delivers requests whose time is over.
func (a *approvals) expire(ctx context.Context, now time.Time) error {
	rows, err := expiredApprovals(ctx, a.DB.DB, now, approvalBatch)
	if err != nil {
		return err
	}
	for _, row := range rows {
		row.Status, row.DecidedAt = subjects.ApprovalExpired, now.UnixMicro()
		if row, err = a.settle(ctx, row); err != nil {
			return err
		}
		a.tryDeliver(ctx, row)
	}
	return nil
}

// withdrawOrphans withdraws the pending requests of ended executions. It checks first, because there are seldom any and a
// read is cheaper than a write.
func (a *approvals) withdrawOrphans(ctx context.Context, now time.Time) error {
	found, err := hasOrphanedApprovals(ctx, a.DB.DB)
	if err != nil || !found {
		return err
	}
	return a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return withdrawOrphanedApprovals(ctx, tx, now) })
}
