package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/subjects"
)

// webhookReceived hands what a provider delivered to the workflows of the user whose hook it came by. Source and id of the
// event make it the same one however often it comes.
func (a *Actor) webhookReceived(ctx context.Context, e subjects.Envelope[subjects.WebhookDelivery]) error {
	data, err := json.Marshal(e.Data)
	if err != nil {
		return fmt.Errorf("encoding an event's data: %w", err)
	}
	value, err := language.Decode(data)
	if err != nil {
		return subjects.Errorf(subjects.CodeInvalid, "the event's data cannot be read: %v", err)
	}
	event := cloudEvent{
		"specversion": e.SpecVersion, "id": e.ID, "source": e.Source, "type": e.Type, "time": e.Time.UTC().Format(time.RFC3339Nano),
		"datacontenttype": "application/json", "data": value,
	}
	if len(data) > a.config.MaxInput { // no execution can take it: those that it would start are among the user's failures
		a.flows.events.WithLabelValues(eventWebhook).Inc()
		_, err = a.trigger(ctx, e.UserID, event, 0)
		return err
	}
	_, _, err = a.route(ctx, e.UserID, event, 0, eventWebhook)
	return err
}
