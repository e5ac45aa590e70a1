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

// What a letter is for.
const (
	forVerification = "verify_email"
	forNewEmail     = "change_email"
	forReset        = "reset_password"
	forNotice       = "notice"
)

// letterKept is how long a letter is kept after its end: it is an addressee while its delivery is tried.
const letterKept = 7 * 24 * time.Hour

// letter is a mail, with the single-use token that it may carry.
type letter struct {
	ID     string
	UserID string
	// ToUser makes it a notice that the user may also list; else it goes to Email and is listed nowhere.
	ToUser    bool
	Email     string
	Purpose   string
	TokenHash string
	CreatedAt time.Time
	ExpiresAt time.Time
}

// text is what a letter says.
type text struct {
	Subject string `json:"subject"`
	Body    string `json:"body"`
}

// newLetterToken makes a token of 256 bits and the hash that is stored of it.
func newLetterToken() (token, hash string) {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails, says crypto/rand
	token = base64.RawURLEncoding.EncodeToString(raw)
	return token, hashToken(token)
}

func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// withToken is how a reader gets from the mail to the page or call that takes the token.
func withToken(page, call, token string) string {
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

// inWords says how long a letter's token is good.
func inWords(d time.Duration) string {
	if d < 2*time.Minute || d%time.Minute != 0 {
		return d.String()
	}
	return strconv.Itoa(int(d/time.Minute)) + " minutes"
}

func verificationText(page, token string, valid time.Duration) text {
	return text{"Verify your e-mail address", "Somebody, hopefully you, gave this address to weft. To confirm that it is yours:\n\n" +
		withToken(page, "POST /v1/auth/email/verify", token) +
		"\nIt works once, for " + inWords(valid) + ". If it was not you, do nothing.\n"}
}

// newEmailText says whose account it is: who has none, and confirms it all the same, gives their address to a stranger's.
func newEmailText(page, token string, valid time.Duration) text {
	return text{"Verify your e-mail address", "Somebody asked to move their weft account, which they have already, to this address. To confirm that it is " +
		"you and that the account is yours:\n\n" +
		withToken(page, "POST /v1/auth/email/verify", token) +
		"\nIt works once, for " + inWords(valid) + ". If you have not asked for this, do nothing, also if you are signing up to weft just now.\n"}
}

func resetText(page, token string, valid time.Duration) text {
	return text{"Set a new password", "Somebody, hopefully you, asked to set a new password for your weft account:\n\n" +
		withToken(page, "POST /v1/auth/password/reset", token) +
		"\nIt works once, for " + inWords(valid) + ". If it was not you, do nothing: your password stays what it is.\n"}
}

// contestedText is resetText for who has just verified an address that was registered more than once.
func contestedText(page, token string, valid time.Duration) text {
	return text{"Set a new password", "You have verified your address. It was signed up more than once before that, perhaps by somebody else, " +
		"so no password that was given then signs in. To set yours:\n\n" +
		withToken(page, "POST /v1/auth/password/reset", token) +
		"\nIt works once, for " + inWords(valid) + ". After that, ask for a new password.\n"}
}

var (
	takenText = text{"You have an account already", "Somebody, perhaps you, tried to sign up or to move an account to this " +
		"address, which has a weft account already. If it was you: sign in, or ask for a new password. If not, do nothing.\n"}
	passwordText = text{"Your password was changed", "The password of your weft account was changed, and other sessions were " +
		"signed out. If it was not you, ask for a new password at once.\n"}
	mfaOnText = text{"Your authenticator is on", "From now on signing in to weft asks for a code of your authenticator. If it was " +
		"not you who turned this on, ask for a new password at once.\n"}
	mfaOffText = text{"Your authenticator is off", "Signing in to weft does not ask for a code of your authenticator any more. If " +
		"it was not you who turned this off, ask for a new password at once.\n"}
	reuseText = text{"A session was ended", "A sign-in of yours was used from two places at once, as happens when it is stolen. " +
		"We ended it. If you do not know why this could be, change your password.\n"}
)

var goodbyeText = text{"Your account was deleted", "Your weft account was deleted, and what weft kept of you is being erased. If it was " +
	"not you, write to whoever runs this weft.\n"}

func movedText(to string) text {
	return text{"Your e-mail address was changed", "Your weft account has moved from this address to " + to +
		". If it was not you, write to whoever runs this weft.\n"}
}
