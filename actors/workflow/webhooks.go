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
	if len(data) > a.config.MaxInput {
		return tooLargeEvent(len(data), a.config.MaxInput)
	}
	value, err := language.Decode(data)
	if err != nil {
		return subjects.Errorf(subjects.CodeInvalid, "the event's data cannot be read: %v", err)
	}
	_, _, err = a.route(ctx, e.UserID, cloudEvent{
		"specversion": e.SpecVersion, "id": e.ID, "source": e.Source, "type": e.Type, "time": e.Time.UTC().Format(time.RFC3339Nano),
		"datacontenttype": "application/json", "data": value,
	}, 0, eventWebhook)
	return err
}
