package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"
	"time"
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

// messageText is the text of a message.
type messageText struct {
	Subject string `json:"subject"`
	Body    string `json:"body"`
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

// tokenInstructions returns a link to the page with the token or, if there is no page, the endpoint that takes the
// token.
func tokenInstructions(page, call, token string) string {
	if page == "" {
		return "Send this token to " + call + ":\n\n" + token + "\n"
	}
	u, err := url.Parse(page)
	if err != nil {
		return "Your token:\n\n" + token + "\n"
	}
	query := u.Query()
	query.Set("token", token)
	u.RawQuery = query.Encode()
	return u.String() + "\n"
}

// formatDuration formats the lifetime of a token for people.
func formatDuration(d time.Duration) string {
	if d < 2*time.Minute || d%time.Minute != 0 {
		return d.String()
	}
	return strconv.Itoa(int(d/time.Minute)) + " minutes"
}

func verificationText(page, token string, valid time.Duration) messageText {
	return messageText{"Verify your e-mail address", "Someone, hopefully you, registered with weft using this address. To confirm that it is yours:\n\n" +
		tokenInstructions(page, "POST /v1/auth/email/verify", token) +
		"\nIt works once and expires in " + formatDuration(valid) + ". If it was not you, ignore this message.\n"}
}

// changeEmailText states the effect explicitly: a recipient who has no account and confirms anyway would give their
// address to someone else's account.
func changeEmailText(page, token string, valid time.Duration) messageText {
	return messageText{"Verify your e-mail address", "Someone asked to change the address of an existing weft account to this one. " +
		"To confirm that it was you and that the account is yours:\n\n" +
		tokenInstructions(page, "POST /v1/auth/email/verify", token) +
		"\nIt works once and expires in " + formatDuration(valid) + ". If you did not ask for this, ignore this message, " +
		"even if you are just registering with weft.\n"}
}

func resetText(page, token string, valid time.Duration) messageText {
	return messageText{"Set a new password", "Someone, hopefully you, asked to set a new password for your weft account:\n\n" +
		tokenInstructions(page, "POST /v1/auth/password/reset", token) +
		"\nIt works once and expires in " + formatDuration(valid) + ". If it was not you, ignore this message: your password does not change.\n"}
}

// duplicateRegistrationText is resetText for the owner of an address that was registered more than once.
func duplicateRegistrationText(page, token string, valid time.Duration) messageText {
	return messageText{"Set a new password", "You have verified your address. It had been registered more than once, perhaps by someone else, " +
		"so none of the passwords given then is valid. To set yours:\n\n" +
		tokenInstructions(page, "POST /v1/auth/password/reset", token) +
		"\nIt works once and expires in " + formatDuration(valid) + ". After that, request a password reset.\n"}
}

// Texts of notices.
var (
	emailTakenText = messageText{"You have an account already", "Someone, perhaps you, tried to register with this address or to move " +
		"an account to it, but it already has a weft account. If it was you, sign in or request a password reset. If not, ignore this message.\n"}
	passwordChangedText = messageText{"Your password was changed", "The password of your weft account was changed, and other sessions were " +
		"signed out. If it was not you, request a password reset at once.\n"}
	mfaOnText = messageText{"Your authenticator is on", "From now on, signing in to weft requires a code of your authenticator. If it was " +
		"not you who enabled it, request a password reset at once.\n"}
	mfaOffText = messageText{"Your authenticator is off", "Signing in to weft no longer requires a code of your authenticator. If " +
		"it was not you who disabled it, request a password reset at once.\n"}
	tokenReuseText = messageText{"A session was ended", "One of your sessions was used from two places at once, as happens when it is stolen. " +
		"It was ended. If you cannot explain this, change your password.\n"}
	accountDeletedText = messageText{"Your account was deleted", "Your weft account was deleted, and the data that weft stores about you is " +
		"being erased. If it was not you, contact the operator of this weft installation.\n"}
)

func emailChangedText(to string) messageText {
	return messageText{"Your e-mail address was changed", "The address of your weft account was changed from this one to " + to +
		". If it was not you, contact the operator of this weft installation.\n"}
}
