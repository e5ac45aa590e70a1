package notification

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// failureWindow and failureWait are the window and the longest wait of the batch of a workflow's failures.
	failureWindow = 10 * time.Minute
	failureWait   = time.Hour
	// failureEvery is the period in which a workflow's first failure is notified of, and no other.
	failureEvery = time.Minute
	// maxFailureReason bounds the type of an error in a notification in bytes.
	maxFailureReason = 200
	// executionPlaceholder is the place of the id in Config.ExecutionURL.
	executionPlaceholder = "{execution_id}"
)

// notifyFailures notifies a user of executions that have failed while nobody waited for their end. The failures of a workflow are collected; of
// those of one minute, the first alone. They leave half of what may wait for the user to other notifications.
func (a *Actor) notifyFailures(ctx context.Context, e subjects.Envelope[subjects.ExecutionFailures]) error {
	told := map[string]bool{}
	for _, x := range e.Data.Executions {
		key := failureKey(x)
		if told[key] {
			continue
		}
		told[key] = true
		waiting, err := countWaiting(ctx, a.DB.DB, e.UserID)
		if err != nil {
			return err
		}
		if waiting >= max(a.bounds.waiting.Limit/2, 1) {
			a.metrics.failuresLeftOut.Inc()
			continue
		}
		if err := a.notifyFailure(ctx, key, e.UserID, x); err != nil {
			return err
		}
	}
	return nil
}

// failureKey names the notification of a workflow's failures in one period.
func failureKey(x subjects.ExecutionFailure) string {
	return "failed." + x.WorkflowID + "." + strconv.FormatInt(x.EndedAt.Truncate(failureEvery).Unix(), 10)
}

// notifyFailure accepts the notification of a failure, in-app and, where mail is configured, by e-mail.
func (a *Actor) notifyFailure(ctx context.Context, key, userID string, x subjects.ExecutionFailure) error {
	revision, err := a.templates.store.revision(ctx)
	if err != nil {
		return err
	}
	data := map[string]string{
		"name": x.Name, "workflow_id": x.WorkflowID, "execution_id": x.ExecutionID, "reason": channel.Truncate(failureReason(x.ErrorType), maxFailureReason),
	}
	if a.config.ExecutionURL != "" {
		data["link"] = strings.ReplaceAll(a.config.ExecutionURL, executionPlaceholder, url.PathEscape(x.ExecutionID))
	}
	n, err := a.eventNotification(key, userID, categoryWorkflow, content{Template: subjects.TemplateWorkflowFailed, Revision: revision}, data)
	if err != nil {
		return err
	}
	batching, err := json.Marshal(subjects.NotificationBatch{
		Key: "workflow.failed." + x.WorkflowID, Window: int(failureWindow / time.Second), MaxWait: int(failureWait / time.Second),
	})
	if err != nil {
		return fmt.Errorf("encoding how a notification is collected: %w", err)
	}
	n.Batching = string(batching)
	channels := []string{channel.InApp}
	if a.config.mailEnabled() {
		channels = append(channels, channel.Email)
	}
	_, err = a.accept(ctx, n, channels)
	return err
}

// failureReason is the type of an error as a text: the last segment of a type of the specification, such as timeout, and any other as it is. The
// error's other members are a workflow's own data, which stays in get_execution.
func failureReason(errorType string) string {
	if _, name, ok := strings.Cut(errorType, "serverlessworkflow.io/spec/"); ok {
		return name[strings.LastIndexByte(name, '/')+1:]
	}
	return errorType
}

// mailEnabled reports whether a provider of mail is configured.
func (c Config) mailEnabled() bool {
	return c.SMTP.Enabled() || c.SendGrid.Enabled() || c.SES.Enabled()
}

// checkExecutionURL returns a SettingError unless value is empty or a URL with the place of an execution's id.
func checkExecutionURL(value string) error {
	u, err := url.Parse(strings.ReplaceAll(value, executionPlaceholder, "id"))
	if value == "" || err == nil && u.Hostname() != "" && (u.Scheme == "https" || u.Scheme == "http") && u.User == nil &&
		strings.Contains(value, executionPlaceholder) {
		return nil
	}
	return mesh.InvalidSetting("notification.execution_url", "is %q, and must be an http or https URL with %s", value, executionPlaceholder)
}
