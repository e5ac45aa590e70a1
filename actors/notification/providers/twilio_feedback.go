package providers

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/weftmesh/weft/actors/notification/channel"
)

// ReceiveTwilio verifies a status callback of Twilio, whose URL is rawURL as Twilio knows it, and returns its reports: none for a status
// that decides nothing. It names no address: the suppression list is of mail.
func ReceiveTwilio(authToken, rawURL string, header http.Header, body []byte) ([]Feedback, error) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, errUnverified(err)
	}
	if !VerifyTwilio(authToken, rawURL, form, header.Get("X-Twilio-Signature")) {
		return nil, errUnverified(errors.New("the signature is wrong"))
	}
	status, ok := TwilioCallback(form)
	if !ok || len(status.MessageID) > MaxReportID/2 {
		return nil, nil
	}
	f := Feedback{ID: status.MessageID + ".delivered", Kind: ReportDelivered, MessageID: status.MessageID}
	if !status.Delivered {
		f.ID, f.Kind, f.Detail = status.MessageID+".failed", ReportFailed, status.Detail
		f.Dead = status.Class == channel.Suppressed
		if status.Code != "" {
			f.Detail += " (" + status.Code + ")"
		}
	}
	return []Feedback{f}, nil
}
