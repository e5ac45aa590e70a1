package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strings"
	"time"

	"github.com/weftmesh/weft/subjects"
)

// Purposes of a message.
const (
	purposeVerify      = "verify_email"
	purposeChangeEmail = "change_email"
	purposeReset       = "reset_password"
	// purposeNotice is that of notices which anybody can cause who knows the address.
	purposeNotice = "notice"
)

// Purposes of security notices. Each has a budget of its own, and only somebody who has signed in to the account, or has its
// mailbox or one of its credentials, can cause one: no other message can keep it from arriving.
const (
	noticePrefix       = "security."
	noticePassword     = noticePrefix + "password"
	noticeEmailChanged = noticePrefix + "email"
	noticeFactor       = noticePrefix // followed by the audited action
	noticeReuse        = noticePrefix + "token_reuse"
	noticeClaimed      = noticePrefix + "claimed"
	noticeLinked       = noticePrefix + "identity_linked"
	noticeUnlinked     = noticePrefix + "identity_unlinked"
	noticeDeleted      = noticePrefix + "deleted"
)

// maxNotices bounds the security notices of one purpose to one address per hour.
const maxNotices = 30

// budget bounds the messages of one purpose to one address. perAddress of them are sent at once in each window, at most
// perSource of these for requests from one network. Further ones wait for the next slot, one per interval; a message that is
// waiting already serves for those that are requested meanwhile. So a request is always followed by a message, however many
// others have requested some, and an address receives at most perAddress + window/interval in a window.
type budget struct {
	perAddress, perSource int64
	window, interval      time.Duration
}

// budgetOf returns the budget of a purpose. The window is never longer than the lifetime of the tokens that are sent: an
// owner whose messages another person has used up has a valid token.
func (c Config) budgetOf(purpose string) budget {
	if strings.HasPrefix(purpose, noticePrefix) {
		return budget{perAddress: maxNotices, perSource: maxNotices, window: time.Hour, interval: time.Hour / maxNotices}
	}
	window, most := min(time.Hour, c.TokenTTL), int64(c.MailsPerHour)
	return budget{perAddress: most, perSource: max(1, most*3/5), window: window, interval: window / time.Duration(most)}
}

// sentMessages are the messages of one purpose to one address in the window of a budget.
type sentMessages struct {
	// atOnce counts those that were not delayed by the budget, fromSource those of them from the network of the request.
	atOnce, fromSource int64
	// last is when the latest was or will be sent, waiting the same of the account's own that has not been sent.
	last, waiting time.Time
}

// slot returns when a further message is sent, and whether the budget delays it; zero if one is waiting that serves for it.
func (b budget) slot(sent sentMessages, now time.Time) (at time.Time, surplus bool) {
	switch {
	case sent.atOnce < b.perAddress && sent.fromSource < b.perSource:
		return now, false
	case sent.waiting.After(now):
		return time.Time{}, true
	case sent.last.Add(b.interval).After(now):
		return sent.last.Add(b.interval), true
	}
	return now, true
}

// messageRetention is how long a message is kept after it expires: its ID is the recipient while its delivery is
// retried.
const messageRetention = 7 * 24 * time.Hour

// message is an e-mail message, with the single-use token that it may carry.
type message struct {
	ID     string
	UserID string
	// ToUser marks a notice that the user can also list. Other messages are sent to Email alone and cannot be listed.
	ToUser    bool
	Email     string
	Purpose   string
	TokenHash string
	CreatedAt time.Time
	// SendAt is when the message is sent; Surplus is set if the budget delayed it. Source is the hash of the network that
	// requested it.
	SendAt    time.Time
	Surplus   bool
	Source    string
	ExpiresAt time.Time
}

// messageText says what a message tells: a template of the notification actor, and its variables.
type messageText struct {
	Template string         `json:"template"`
	Data     map[string]any `json:"data"`
}

// newToken returns a token of 256 random bits and its hash, which is stored instead of the token.
func newToken() (token, hash string) {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never returns an error (crypto/rand)
	token = base64.RawURLEncoding.EncodeToString(raw)
	return token, hashToken(token)
}

func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// tokenText is a message with a token: a link to the page with the token or, if there is no page, the endpoint that takes the token, and
// how long the token is valid.
func tokenText(template, page, endpoint, token string, valid time.Duration) messageText {
	data := map[string]any{}
	if valid < 2*time.Minute || valid%time.Minute != 0 {
		data["seconds"] = valid.Seconds()
	} else {
		data["minutes"] = int64(valid / time.Minute)
	}
	u, err := url.Parse(page)
	if page == "" || err != nil {
		data["endpoint"], data["token"] = endpoint, token
		return messageText{template, data}
	}
	query := u.Query()
	query.Set("token", token)
	u.RawQuery = query.Encode()
	data["link"] = u.String()
	return messageText{template, data}
}

// The endpoints that take tokens.
var verifyEndpoint, resetEndpoint = subjects.VerifyEmail.Route, subjects.ResetPassword.Route

func verificationText(page, token string, valid time.Duration) messageText {
	return tokenText(subjects.TemplateVerifyEmail, page, verifyEndpoint, token, valid)
}

// changeEmailText states the effect explicitly: a recipient who has no account and confirms anyway would give their
// address to someone else's account.
func changeEmailText(page, token string, valid time.Duration) messageText {
	return tokenText(subjects.TemplateChangeEmail, page, verifyEndpoint, token, valid)
}

func resetText(page, token string, valid time.Duration) messageText {
	return tokenText(subjects.TemplateResetPassword, page, resetEndpoint, token, valid)
}

// duplicateRegistrationText is resetText for the owner of an address that was registered more than once.
func duplicateRegistrationText(page, token string, valid time.Duration) messageText {
	return tokenText(subjects.TemplateRegisteredTwice, page, resetEndpoint, token, valid)
}

// Texts of notices.
var (
	emailTakenText      = messageText{Template: subjects.TemplateEmailTaken}
	passwordChangedText = messageText{Template: subjects.TemplatePasswordChanged}
	mfaOnText           = messageText{Template: subjects.TemplateMFAOn}
	mfaOffText          = messageText{Template: subjects.TemplateMFAOff}
	tokenReuseText      = messageText{Template: subjects.TemplateSessionReuse}
	accountDeletedText  = messageText{Template: subjects.TemplateAccountDeleted}
)

func emailChangedText(to string) messageText {
	return messageText{subjects.TemplateEmailChanged, map[string]any{"email": to}}
}
