package mesh

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
)

// HeaderSignature has the signature of a message in a stream or bucket: <scheme>.<nanoseconds since 1970>.<base64url>.
const HeaderSignature = "Weft-Signature"

// SignatureAge is the maximum difference between the time of a signature, by its author's clock, and the time at which the stream
// stored the message, by the server's clock. A repetition within it is refused by the server as a duplicate, whose window is at least
// twice as long. It does not apply to a message that expects a sequence of its subject's last message: the server stores that once.
const SignatureAge = 4 * time.Minute

// Schemes of signatures.
const (
	// schemeEd25519 is a signature with the user's nkey.
	schemeEd25519 = "k"
	// schemeMAC is an HMAC-SHA-256 with a key that only the user itself can derive.
	schemeMAC = "m"
)

// Keyring has the public nkey of each NATS user. It holds no secret.
type Keyring map[string]string

// ParseKeyring decodes what Keyring.Encode has encoded.
func ParseKeyring(data []byte) (Keyring, error) {
	var k Keyring
	if err := json.Unmarshal(data, &k); err != nil {
		return nil, fmt.Errorf("decoding the public keys: %w", err)
	}
	for _, user := range Users() {
		if user == UserBackup && k[user] == "" { // it signs nothing; files of older versions do not have it
			continue
		}
		if _, err := decodePublic(k[user]); err != nil {
			return nil, fmt.Errorf("decoding the public key of %s: %w", user, err)
		}
	}
	return k, nil
}

// Encode returns the file of public keys: a JSON object of nkeys by user.
func (k Keyring) Encode() ([]byte, error) {
	data, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding the public keys: %w", err)
	}
	return append(data, '\n'), nil
}

// identity is what a user's nkey seed stands for.
type identity struct {
	private ed25519.PrivateKey
	mac     []byte
	token   string
}

func newIdentity(seed []byte) (*identity, error) {
	_, raw, err := nkeys.DecodeSeed(seed)
	if err != nil {
		return nil, fmt.Errorf("reading an nkey: %w", err)
	}
	mac, err := hkdf.Key(sha256.New, raw, nil, "weft message authentication", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("deriving a key: %w", err)
	}
	token, err := hkdf.Key(sha256.New, raw, nil, "weft privileged requests", 16)
	if err != nil {
		return nil, fmt.Errorf("deriving a token: %w", err)
	}
	return &identity{private: ed25519.NewKeyFromSeed(raw), mac: mac, token: hex.EncodeToString(token)}, nil
}

// privileged returns the subject of a privileged request: one that the server carries out only on a subject with the user's token.
func (id *identity) privileged(request string) string { return apiPrefix + id.token + "." + request }

// PrivilegedToken returns the token of a user's privileged requests (see PrivilegedMappings), which is derived from its nkey seed.
func PrivilegedToken(seed []byte) (string, error) {
	id, err := newIdentity(seed)
	if err != nil {
		return "", err
	}
	return id.token, nil
}

// sign returns the value of HeaderSignature for a message.
func (id *identity) sign(m *nats.Msg, at time.Time, private bool) string {
	nanos := at.UnixNano()
	digest := digestOf(m.Subject, m.Header, m.Data, nanos)
	var scheme string
	var signature []byte
	if private {
		scheme, signature = schemeMAC, id.authenticate(digest)
	} else {
		scheme, signature = schemeEd25519, ed25519.Sign(id.private, digest)
	}
	return scheme + "." + strconv.FormatInt(nanos, 10) + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func (id *identity) authenticate(digest []byte) []byte {
	h := hmac.New(sha256.New, id.mac)
	h.Write(digest)
	return h.Sum(nil)
}

// verify checks the signature of a message by the author's public key, or by own, which is nil unless the reader is the author.
func verify(public string, own *identity, subject string, header nats.Header, data []byte, stored time.Time) error {
	values := header.Values(HeaderSignature)
	if len(values) != 1 {
		return fmt.Errorf("%w: it is not signed", ErrAuthor)
	}
	scheme, rest, _ := strings.Cut(values[0], ".")
	at, encoded, _ := strings.Cut(rest, ".")
	nanos, err := strconv.ParseInt(at, 10, 64)
	signature, bad := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err := errors.Join(err, bad); err != nil {
		return fmt.Errorf("%w: its signature is malformed", ErrAuthor)
	}
	digest := digestOf(subject, header, data, nanos)
	good := false
	switch {
	case scheme == schemeMAC && own != nil:
		good = hmac.Equal(signature, own.authenticate(digest))
	case scheme == schemeEd25519:
		key, err := decodePublic(public)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrAuthor, err)
		}
		good = ed25519.Verify(key, digest, signature)
	}
	if !good {
		return fmt.Errorf("%w: its signature is wrong", ErrAuthor)
	}
	if age := stored.Sub(time.Unix(0, nanos)); !fenced(header) && (age > SignatureAge || age < -SignatureAge) {
		return fmt.Errorf("%w: it was stored %s after it was signed: it is a repetition, or a clock is wrong", ErrAuthor, age)
	}
	return nil
}

// fenced reports whether the server stores a message with these headers only after one certain message of its subject.
func fenced(h nats.Header) bool {
	expected := h.Get(jetstream.ExpectedLastSubjSeqHeader)
	return expected != "" && expected != "0"
}

// decodePublic decodes a user's public nkey.
func decodePublic(key string) (ed25519.PublicKey, error) {
	raw, err := nkeys.Decode(nkeys.PrefixByteUser, []byte(key))
	if err != nil {
		return nil, err
	}
	return raw, nil
}

// digestOf hashes everything that a signature covers: the time, the subject, all headers but the signature itself, and the data. A
// header that the server adds to a copy of a message, such as Nats-Stream, therefore makes the copy unverifiable.
func digestOf(subject string, header nats.Header, data []byte, nanos int64) []byte {
	h := sha256.New()
	write(h, "weft message 1")
	write(h, strconv.FormatInt(nanos, 10))
	write(h, subject)
	names := make([]string, 0, len(header))
	for name := range header {
		if name != HeaderSignature {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	write(h, strconv.Itoa(len(names)))
	for _, name := range names {
		write(h, name)
		write(h, strconv.Itoa(len(header[name])))
		for _, value := range header[name] {
			write(h, value)
		}
	}
	h.Write(data)
	return h.Sum(nil)
}

// write hashes a string with its length, so that no two lists of strings have the same hash.
func write(h hash.Hash, s string) {
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(s)))
	h.Write(size[:])
	_, _ = h.Write([]byte(s))
}
