package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strconv"
	"time"
)

// Purposes of a message.
const (
	purposeVerify      = "verify_email"
	purposeChangeEmail = "change_email"
	purposeReset       = "reset_password"
	purposeNotice      = "notice"
)

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
	ExpiresAt time.Time
}

// messageText is the text of a message.
type messageText struct {
	Subject string `json:"subject"`
	Body    string `json:"body"`
}

// newPasskeyDevice returns a token of 256 random bits and its hash, which is stored instead of the token.
func newPasskeyDevice() (token, hash string) {
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
// address to a stranger's account.
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
