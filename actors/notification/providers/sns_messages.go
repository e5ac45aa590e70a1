package providers

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // SignatureVersion 1 of SNS is SHA-1 with RSA; a topic's default
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// The types of SNS messages.
const (
	snsNotification = "Notification"
	snsSubscribe    = "SubscriptionConfirmation"
	snsUnsubscribe  = "UnsubscribeConfirmation"
)

const (
	// certificateLife is how long a signing certificate is kept. maxCertificates bounds how many are.
	certificateLife = 6 * time.Hour
	maxCertificates = 16
	// maxIssuers bounds the issuers that are fetched for one certificate.
	maxIssuers = 3
)

// SNSMessagesOptions describe whose messages are accepted.
type SNSMessagesOptions struct {
	// Topics are the ARNs of the topics.
	Topics []string
	// StandIn replaces Amazon's servers, such as http://127.0.0.1:4566: certificates and confirmations are fetched from there alone, and
	// certificates are trusted as they are.
	StandIn string
	// Fetch makes a GET request and returns the body of a 200 answer. It refuses addresses that are not public.
	Fetch func(ctx context.Context, url string) ([]byte, error)
	// Roots verify the signing certificates; nil means the system's.
	Roots *x509.CertPool
	Now   func() time.Time
}

// SNSMessages verifies the messages that Amazon SNS sends to HTTP endpoints.
type SNSMessages struct {
	options SNSMessagesOptions

	fetches singleflight.Group
	mu      sync.Mutex
	known   map[string]knownCertificate
}

type knownCertificate struct {
	key     *rsa.PublicKey
	readAt  time.Time
	expires time.Time
}

// NewSNSMessages makes a verifier.
func NewSNSMessages(o SNSMessagesOptions) *SNSMessages {
	return &SNSMessages{options: o, known: map[string]knownCertificate{}}
}

// snsMessage is a message of SNS to an HTTP endpoint.
type snsMessage struct {
	Type             string  `json:"Type"`
	MessageID        string  `json:"MessageId"`
	Token            string  `json:"Token"`
	TopicARN         string  `json:"TopicArn"`
	Subject          *string `json:"Subject"`
	Message          string  `json:"Message"`
	SubscribeURL     string  `json:"SubscribeURL"`
	Timestamp        string  `json:"Timestamp"`
	SignatureVersion string  `json:"SignatureVersion"`
	Signature        string  `json:"Signature"`
	SigningCertURL   string  `json:"SigningCertURL"`
}

// Receive verifies a message. It returns the content of a notification, and nil for the confirmation of a subscription, which it
// confirms, or of its end. The error is CodeUnauthenticated for what is not authentic.
func (s *SNSMessages) Receive(ctx context.Context, body []byte) (content []byte, err error) {
	var m snsMessage
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, errUnverified(err)
	}
	if err := s.verify(ctx, m); err != nil {
		return nil, errUnverified(err)
	}
	switch m.Type {
	case snsNotification:
		return []byte(m.Message), nil
	case snsSubscribe:
		if err := s.allowed(m.SubscribeURL); err != nil {
			return nil, errUnverified(err)
		}
		if _, err := s.options.Fetch(ctx, m.SubscribeURL); err != nil {
			return nil, fmt.Errorf("confirming a subscription: %w", err)
		}
	}
	return nil, nil
}

// verify checks the topic, the age and the signature. Everything that needs no request to the outside comes first.
func (s *SNSMessages) verify(ctx context.Context, m snsMessage) error {
	if !slices.Contains(s.options.Topics, m.TopicARN) {
		return errors.New("the topic is not in notification.ses.topics")
	}
	at, err := time.Parse(time.RFC3339, m.Timestamp)
	if err != nil {
		return err
	}
	if err := fresh(at, s.options.Now()); err != nil {
		return err
	}
	text, err := m.signed()
	if err != nil {
		return err
	}
	signature, err := base64.StdEncoding.DecodeString(m.Signature)
	if err != nil {
		return err
	}
	if err := s.allowed(m.SigningCertURL); err != nil {
		return err
	}
	if s.options.StandIn == "" && !strings.HasSuffix(m.SigningCertURL, ".pem") {
		return errors.New("the certificate's URL does not end in .pem")
	}
	key, err := s.key(ctx, m.SigningCertURL)
	if err != nil {
		return err
	}
	switch m.SignatureVersion {
	case "1":
		hash := sha1.Sum([]byte(text)) //nolint:gosec // see the import
		return rsa.VerifyPKCS1v15(key, crypto.SHA1, hash[:], signature)
	case "2":
		hash := sha256.Sum256([]byte(text))
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, hash[:], signature)
	}
	return errors.New("the signature's version is unknown")
}

// signed returns the text that is signed: names and values, a line each, in this order ("Verifying the signatures of Amazon SNS
// messages").
func (m snsMessage) signed() (string, error) {
	var text strings.Builder
	add := func(name, value string) { text.WriteString(name + "\n" + value + "\n") }
	add("Message", m.Message)
	add("MessageId", m.MessageID)
	switch m.Type {
	case snsNotification:
		if m.Subject != nil {
			add("Subject", *m.Subject)
		}
	case snsSubscribe, snsUnsubscribe:
		add("SubscribeURL", m.SubscribeURL)
	default:
		return "", errors.New("the message's type is unknown")
	}
	add("Timestamp", m.Timestamp)
	if m.Type != snsNotification {
		add("Token", m.Token)
	}
	add("TopicArn", m.TopicARN)
	add("Type", m.Type)
	return text.String(), nil
}

// snsHost matches the hosts of SNS.
var snsHost = regexp.MustCompile(`^sns\.[a-z0-9-]{3,32}\.amazonaws\.com(\.cn)?$`)

// allowed refuses a URL that is not one of SNS, or not one of the stand-in.
func (s *SNSMessages) allowed(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return err
	}
	if s.options.StandIn != "" {
		if own, err := url.Parse(s.options.StandIn); err != nil || u.Scheme != own.Scheme || u.Host != own.Host || u.User != nil {
			return errors.New("the URL is not one of notification.ses.sns_url")
		}
		return nil
	}
	if u.Scheme != "https" || u.User != nil || u.Port() != "" || !snsHost.MatchString(u.Host) {
		return errors.New("the URL is not one of Amazon SNS")
	}
	return nil
}

// key returns the public key of a signing certificate, which is fetched once in certificateLife.
func (s *SNSMessages) key(ctx context.Context, location string) (*rsa.PublicKey, error) {
	now := s.options.Now()
	s.mu.Lock()
	known, ok := s.known[location]
	s.mu.Unlock()
	if ok && now.Sub(known.readAt) < certificateLife && now.Before(known.expires) {
		return known.key, nil
	}
	fetched, err, _ := s.fetches.Do(location, func() (any, error) {
		certificate, err := s.certificate(ctx, location, now)
		if err != nil {
			return nil, err
		}
		key, ok := certificate.PublicKey.(*rsa.PublicKey)
		if !ok {
			return nil, errors.New("the certificate's key is no RSA key")
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.known) >= maxCertificates {
			clear(s.known)
		}
		s.known[location] = knownCertificate{key, now, certificate.NotAfter}
		return key, nil
	})
	if err != nil {
		return nil, err
	}
	return fetched.(*rsa.PublicKey), nil
}

// certificate fetches and verifies a signing certificate: valid, for SNS, and issued under a trusted root. Intermediates that the file
// lacks are fetched from where each certificate says that its issuer is (RFC 5280 §4.2.2.1).
func (s *SNSMessages) certificate(ctx context.Context, location string, now time.Time) (*x509.Certificate, error) {
	body, err := s.options.Fetch(ctx, location)
	if err != nil {
		return nil, fmt.Errorf("fetching the signing certificate: %w", err)
	}
	chain, err := certificates(body)
	if err != nil || len(chain) == 0 {
		return nil, errors.Join(errors.New("there is no signing certificate"), err)
	}
	leaf := chain[0]
	if s.options.StandIn != "" {
		return leaf, nil
	}
	host, _ := url.Parse(location)
	if leaf.VerifyHostname("sns.amazonaws.com") != nil && leaf.VerifyHostname(host.Hostname()) != nil {
		return nil, errors.New("the signing certificate is not one of Amazon SNS")
	}
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	options := x509.VerifyOptions{
		Roots: s.options.Roots, Intermediates: intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	for last := chain[len(chain)-1]; ; {
		_, err := leaf.Verify(options)
		if err == nil {
			return leaf, nil
		}
		if len(chain) > maxIssuers || len(last.IssuingCertificateURL) == 0 {
			return nil, err
		}
		issuer, e := s.issuer(ctx, last.IssuingCertificateURL[0])
		if e != nil {
			return nil, errors.Join(err, e)
		}
		intermediates.AddCert(issuer)
		chain, last = append(chain, issuer), issuer
	}
}

// issuer fetches the certificate of an issuer, in DER or PEM. The chain vouches for it, not its server.
func (s *SNSMessages) issuer(ctx context.Context, location string) (*x509.Certificate, error) {
	body, err := s.options.Fetch(ctx, location)
	if err != nil {
		return nil, fmt.Errorf("fetching an issuer's certificate: %w", err)
	}
	if c, err := x509.ParseCertificate(body); err == nil {
		return c, nil
	}
	chain, err := certificates(body)
	if err != nil || len(chain) == 0 {
		return nil, errors.Join(errors.New("an issuer's certificate cannot be read"), err)
	}
	return chain[0], nil
}

// certificates returns the certificates of a PEM file, at most maxIssuers and one.
func certificates(data []byte) (chain []*x509.Certificate, err error) {
	for block, rest := pem.Decode(data); block != nil && len(chain) <= maxIssuers; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		chain = append(chain, c)
	}
	return chain, nil
}
