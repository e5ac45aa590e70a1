package providers

import (
	"cmp"
	"context"
	"encoding/json"
	"time"
)

// SESReports verifies and reads the events that SES publishes through SNS.
type SESReports struct{ sns *SNSMessages }

// NewSESReports takes the verifier of the topics that SES publishes to.
func NewSESReports(sns *SNSMessages) *SESReports { return &SESReports{sns} }

type sesRecipient struct {
	Address    string `json:"emailAddress"`
	Status     string `json:"status"`
	Diagnostic string `json:"diagnosticCode"`
}

// sesEvent is an event record. A notification of an identity has notificationType in place of eventType.
type sesEvent struct {
	EventType        string `json:"eventType"`
	NotificationType string `json:"notificationType"`
	Mail             struct {
		MessageID   string   `json:"messageId"`
		Destination []string `json:"destination"`
	} `json:"mail"`
	Bounce struct {
		Type       string         `json:"bounceType"`
		SubType    string         `json:"bounceSubType"`
		Recipients []sesRecipient `json:"bouncedRecipients"`
		Timestamp  time.Time      `json:"timestamp"`
		FeedbackID string         `json:"feedbackId"`
	} `json:"bounce"`
	Complaint struct {
		Recipients []sesRecipient `json:"complainedRecipients"`
		Timestamp  time.Time      `json:"timestamp"`
		Feedback   string         `json:"complaintFeedbackType"`
	} `json:"complaint"`
	Delivery struct {
		Recipients []string  `json:"recipients"`
		Timestamp  time.Time `json:"timestamp"`
	} `json:"delivery"`
	Open struct {
		Timestamp time.Time `json:"timestamp"`
	} `json:"open"`
	Click struct {
		Timestamp time.Time `json:"timestamp"`
		Link      string    `json:"link"`
	} `json:"click"`
	Reject struct {
		Reason string `json:"reason"`
	} `json:"reject"`
}

// Receive verifies a callback and returns its reports; none for the confirmation of a subscription.
func (s *SESReports) Receive(ctx context.Context, body []byte) ([]Feedback, error) {
	content, err := s.sns.Receive(ctx, body)
	if err != nil || content == nil {
		return nil, err
	}
	var envelope struct {
		ID string `json:"MessageId"`
	}
	if err := json.Unmarshal(body, &envelope); err != nil || envelope.ID == "" || len(envelope.ID) > MaxReportID/2 {
		return nil, errMalformed(err)
	}
	var e sesEvent
	if err := json.Unmarshal(content, &e); err != nil {
		return nil, nil //nolint:nilerr // SES announces a new destination with a message that is no JSON
	}
	reports := e.reports()
	for i := range reports {
		// One event has a report for each recipient. The id of the message is that of the event.
		reports[i].ID = envelope.ID + "." + string(rune('a'+i%26))
		reports[i].MessageID = e.Mail.MessageID
	}
	return reports, nil
}

// maxRecipients bounds the recipients of one event. SES takes 50 for one message, and weft sends one.
const maxRecipients = 26

func (e sesEvent) reports() (reports []Feedback) {
	add := func(r Feedback) {
		if len(reports) < maxRecipients {
			reports = append(reports, r)
		}
	}
	address := ""
	if len(e.Mail.Destination) == 1 {
		address = e.Mail.Destination[0]
	}
	switch cmp.Or(e.EventType, e.NotificationType) {
	case "Delivery":
		for _, to := range e.Delivery.Recipients {
			add(Feedback{Kind: ReportDelivered, Address: to, At: e.Delivery.Timestamp})
		}
	case "Bounce":
		for _, to := range e.Bounce.Recipients {
			add(Feedback{
				Kind: ReportFailed, Address: to.Address, At: e.Bounce.Timestamp, Dead: e.Bounce.Type == "Permanent",
				Detail: brief(e.Bounce.Type + " " + e.Bounce.SubType + " " + to.Status + " " + to.Diagnostic),
			})
		}
	case "Complaint":
		for _, to := range e.Complaint.Recipients {
			add(Feedback{Kind: ReportComplained, Address: to.Address, At: e.Complaint.Timestamp, Detail: brief(e.Complaint.Feedback)})
		}
	case "Reject":
		add(Feedback{Kind: ReportFailed, Address: address, Detail: brief("rejected: " + e.Reject.Reason)})
	case "Rendering Failure":
		add(Feedback{Kind: ReportFailed, Address: address, Detail: "rendering failed"})
	case "Subscription":
		add(Feedback{Kind: ReportUnsubscribed, Address: address})
	case "Open":
		add(Feedback{Kind: ReportOpened, Address: address, At: e.Open.Timestamp})
	case "Click":
		add(Feedback{Kind: ReportClicked, Address: address, At: e.Click.Timestamp, URL: e.Click.Link})
	}
	return reports
}
