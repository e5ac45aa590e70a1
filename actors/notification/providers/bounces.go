package providers

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/weftmesh/weft/actors/notification/channel"
)

// HeaderRecipient is the HTTP header by which a mail server names the address that a bounce arrived at.
const HeaderRecipient = "Weft-Recipient"

// Bounces reads the bounced mail that an operator's mail server passes on.
type Bounces struct {
	// Secret authenticates the server: Authorization: Bearer SECRET.
	Secret string
	// VERP opens return paths.
	VERP func(ctx context.Context) (VERP, error)
}

// Receive authenticates a callback whose body is a mail, and returns its reports: none for mail that is no bounce or whose return path is
// not authentic, since anybody may write to it.
func (s *Bounces) Receive(ctx context.Context, header http.Header, raw []byte) ([]Feedback, error) {
	given, ok := strings.CutPrefix(header.Get("Authorization"), "Bearer ")
	have, want := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(s.Secret))
	if !ok || s.Secret == "" || subtle.ConstantTimeCompare(have[:], want[:]) != 1 {
		return nil, errUnverified(errors.New("the secret is wrong"))
	}
	b, err := ParseBounce(raw)
	if err != nil {
		return nil, nil //nolint:nilerr // an answer to a notification is no failure of the server that passes it on
	}
	verp, err := s.VERP(ctx)
	if err != nil {
		return nil, err
	}
	path, err := verp.open(append([]string{header.Get(HeaderRecipient)}, b.To...))
	if err != nil {
		return nil, nil //nolint:nilerr // a bounce of other mail, or a forged one
	}
	report, ok := b.report()
	if !ok {
		return nil, nil
	}
	hash := sha256.Sum256(raw)
	report.ID, report.NotificationID = hex.EncodeToString(hash[:]), path.notificationID
	report.Matches = func(address string) bool { return verp.matches(path, address) }
	for _, r := range b.Recipients {
		for _, address := range []string{r.Original, r.Final} {
			if report.Address == "" && address != "" && report.Matches(address) {
				report.Address = address
			}
		}
	}
	return []Feedback{report}, nil
}

// report returns what a bounce means. A message has one recipient, and so the first that has failed or received it decides.
func (b Bounce) report() (Feedback, bool) {
	if b.Complaint {
		return Feedback{Kind: ReportComplained, Detail: "feedback report"}, true
	}
	for _, r := range b.Recipients {
		switch r.Action {
		case "failed":
			code, status := r.reply()
			return Feedback{
				Kind: ReportFailed, Detail: brief(status + " " + r.Diagnostic), Dead: classOfReply(code, status) == channel.Suppressed,
			}, true
		case "delivered":
			return Feedback{Kind: ReportDelivered}, true
		}
	}
	return Feedback{}, false
}

var diagnosticReply = regexp.MustCompile(`\b([45]\d\d)[ -]+(?:#?([45]\.\d{1,3}\.\d{1,3})\b)?`)

// reply returns the code and the enhanced status of a failure: the status of the reply where the report's own says nothing specific.
func (r BouncedRecipient) reply() (code int, status string) {
	code, status = 550, r.Status
	if strings.HasPrefix(status, "4.") {
		code = 450
	}
	found := diagnosticReply.FindStringSubmatch(r.Diagnostic)
	if found == nil {
		return code, status
	}
	if n, err := strconv.Atoi(found[1]); err == nil {
		code = n
	}
	if found[2] != "" && (status == "" || strings.HasSuffix(status, ".0.0")) {
		status = found[2]
	}
	return code, status
}
