package providers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The headers of a signed event webhook.
const (
	sendgridSignature = "X-Twilio-Email-Event-Webhook-Signature"
	sendgridTimestamp = "X-Twilio-Email-Event-Webhook-Timestamp"
)

const (
	// maxReportAge bounds the age of a signed callback. SendGrid repeats one for up to 24 hours.
	maxReportAge = 26 * time.Hour
	// maxSkew is how far a provider's clock may be ahead.
	maxSkew = 5 * time.Minute
	// maxReports bounds the reports of one callback.
	maxReports = 5000
)

// SendGridReports verifies and reads SendGrid's event webhook.
type SendGridReports struct {
	key *ecdsa.PublicKey
	now func() time.Time
}

// NewSendGridReports takes the public key as SendGrid shows it: the SubjectPublicKeyInfo of a P-256 key in base64, or in PEM.
func NewSendGridReports(key string, now func() time.Time) (*SendGridReports, error) {
	der, err := base64.StdEncoding.DecodeString(strings.TrimSpace(key))
	if block, _ := pem.Decode([]byte(key)); block != nil {
		der, err = block.Bytes, nil
	}
	if err != nil {
		return nil, errors.New("is no public key in base64 or PEM")
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, errors.New("is no public key in base64 or PEM")
	}
	public, ok := parsed.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return nil, errors.New("is no public key on the curve P-256")
	}
	return &SendGridReports{public, now}, nil
}

type sendgridEvent struct {
	Email     string      `json:"email"`
	Timestamp json.Number `json:"timestamp"`
	Event     string      `json:"event"`
	ID        string      `json:"sg_event_id"`
	MessageID string      `json:"sg_message_id"`
	Type      string      `json:"type"`
	Status    string      `json:"status"`
	Reason    string      `json:"reason"`
	URL       string      `json:"url"`
	Class     string      `json:"bounce_classification"`
}

// Receive verifies a callback and returns its reports. An error is CodeUnauthenticated or CodeInvalid.
func (s *SendGridReports) Receive(header http.Header, body []byte) ([]Feedback, error) {
	if err := s.verify(header, body); err != nil {
		return nil, errUnverified(err)
	}
	var events []sendgridEvent
	if err := json.Unmarshal(body, &events); err != nil {
		return nil, errMalformed(err)
	}
	if len(events) > maxReports {
		return nil, errMalformed(errors.New("too many events"))
	}
	reports := make([]Feedback, 0, len(events))
	for _, e := range events {
		if r, ok := e.report(); ok {
			reports = append(reports, r)
		}
	}
	return reports, nil
}

// verify checks the signature, ECDSA over the SHA-256 of timestamp and body, and the age.
func (s *SendGridReports) verify(header http.Header, body []byte) error {
	timestamp := header.Get(sendgridTimestamp)
	signature, err := base64.StdEncoding.DecodeString(header.Get(sendgridSignature))
	if err != nil {
		return err
	}
	hash := sha256.New()
	hash.Write([]byte(timestamp))
	hash.Write(body)
	if !ecdsa.VerifyASN1(s.key, hash.Sum(nil), signature) {
		return errors.New("the signature is wrong")
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return err
	}
	return fresh(time.Unix(seconds, 0), s.now())
}

// fresh refuses what was signed too long ago or in the future.
func fresh(signed, now time.Time) error {
	if age := now.Sub(signed); age > maxReportAge || age < -maxSkew {
		return errors.New("the timestamp is too old or in the future")
	}
	return nil
}

// report returns what an event means; false for one without meaning here, such as processed and deferred.
func (e sendgridEvent) report() (Feedback, bool) {
	seconds, _ := e.Timestamp.Int64()
	// sg_message_id is the X-Message-Id of the answer to the request, a dot and more.
	id, _, _ := strings.Cut(e.MessageID, ".")
	r := Feedback{ID: e.ID, MessageID: id, Address: e.Email, At: time.Unix(seconds, 0).UTC()}
	if r.ID == "" || len(r.ID) > MaxReportID {
		return r, false
	}
	switch e.Event {
	case "delivered":
		r.Kind = ReportDelivered
	case "bounce":
		// Type is "blocked" where the message was refused and not the address.
		r.Kind, r.Detail = ReportFailed, brief(e.Status+" "+e.Reason)
		r.Dead = e.Type == "bounce" && !strings.HasPrefix(e.Status, "4") && slices.Contains([]string{"", "Invalid Address", "Unclassified"}, e.Class)
	case "dropped":
		r.Kind, r.Detail = ReportFailed, brief("dropped: "+e.Reason)
		r.Dead = e.Reason == "Bounced Address" || e.Reason == "Invalid"
	case "spamreport":
		r.Kind = ReportComplained
	case "unsubscribe", "group_unsubscribe":
		r.Kind = ReportUnsubscribed
	case "open":
		r.Kind = ReportOpened
	case "click":
		r.Kind, r.URL = ReportClicked, e.URL
	default:
		return r, false
	}
	return r, true
}
