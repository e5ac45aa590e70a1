package providers_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/notification/providers"
	"github.com/weftmesh/weft/subjects"
)

const (
	testTopic = "arn:aws:sns:eu-central-1:123456789012:mail"
	testCert  = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0123.pem"
	testAIA   = "http://crt.example.amazontrust.com/m02.cer"
)

// amazon is a stand-in for Amazon's certificates and for what SNS signs.
type amazon struct {
	key   *rsa.PrivateKey
	roots *x509.CertPool
	// files has what can be fetched, fetched what was.
	files   map[string][]byte
	fetched []string
	leaf    []byte
	issuer  *x509.Certificate
}

// amazonKeys are the keys of a root, an intermediate and a leaf, made once.
var amazonKeys = sync.OnceValues(func() (keys [3]*rsa.PrivateKey, err error) {
	for i := range keys {
		if keys[i], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			return keys, err
		}
	}
	return keys, nil
})

func newAmazon(t *testing.T, host string, expires time.Time) *amazon {
	t.Helper()
	keys, err := amazonKeys()
	if err != nil {
		t.Fatal(err)
	}
	serial := int64(0)
	issue := func(name string, ca bool, aia []string, parent *x509.Certificate, key *rsa.PrivateKey, public any, until time.Time) *x509.Certificate {
		serial++
		template := &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: mailNow.AddDate(-1, 0, 0), NotAfter: until,
			IsCA: ca, BasicConstraintsValid: true, IssuingCertificateURL: aia, KeyUsage: x509.KeyUsageDigitalSignature,
		}
		if ca {
			template.KeyUsage = x509.KeyUsageCertSign
		} else {
			template.DNSNames = []string{name}
		}
		if parent == nil {
			parent = template
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	rootKey, middleKey, leafKey := keys[0], keys[1], keys[2]
	far := mailNow.AddDate(10, 0, 0)
	root := issue("Root", true, nil, nil, rootKey, rootKey.Public(), far)
	middle := issue("Amazon RSA 2048 M02", true, nil, root, rootKey, middleKey.Public(), far)
	leaf := issue(host, false, []string{testAIA}, middle, middleKey, leafKey.Public(), expires)
	a := &amazon{key: leafKey, roots: x509.NewCertPool(), leaf: leaf.Raw, issuer: middle}
	a.roots.AddCert(root)
	encode := func(c *x509.Certificate) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	a.files = map[string][]byte{testCert: append(encode(leaf), encode(middle)...)}
	return a
}

func (a *amazon) fetch(_ context.Context, url string) ([]byte, error) {
	a.fetched = append(a.fetched, url)
	if file, ok := a.files[url]; ok {
		return file, nil
	}
	return nil, errors.New("not found")
}

func (a *amazon) verifier(roots *x509.CertPool) *providers.SNSMessages {
	return providers.NewSNSMessages(providers.SNSMessagesOptions{
		Topics: []string{testTopic}, Fetch: a.fetch, Roots: roots, Now: func() time.Time { return mailNow },
	})
}

// notification is a message of SNS without signature.
func notification(content string) map[string]string {
	return map[string]string{
		"Type": "Notification", "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", "TopicArn": testTopic, "Subject": "My First Message",
		"Message": content, "Timestamp": "2026-11-30T11:59:00.123Z", "SignatureVersion": "1", "SigningCertURL": testCert,
	}
}

func subscription() map[string]string {
	m := notification("You have chosen to subscribe")
	delete(m, "Subject")
	m["Type"], m["Token"] = "SubscriptionConfirmation", "2336412f37"
	m["SubscribeURL"] = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=" + testTopic + "&Token=2336412f37"
	return m
}

// sign signs a message as the documentation says, with the names in the order of bytes, and returns its body.
func (a *amazon) sign(t *testing.T, m map[string]string) []byte {
	t.Helper()
	names := []string{"Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"}
	if m["Type"] != "Notification" {
		names = []string{"Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"}
	}
	text := ""
	for _, name := range names {
		if value, ok := m[name]; ok {
			text += name + "\n" + value + "\n"
		}
	}
	var signature []byte
	var err error
	if m["SignatureVersion"] == "2" {
		hash := sha256.Sum256([]byte(text))
		signature, err = rsa.SignPKCS1v15(rand.Reader, a.key, crypto.SHA256, hash[:])
	} else {
		hash := sha1.Sum([]byte(text))
		signature, err = rsa.SignPKCS1v15(rand.Reader, a.key, crypto.SHA1, hash[:])
	}
	if err != nil {
		t.Fatal(err)
	}
	signed := maps.Clone(m)
	signed["Signature"] = base64.StdEncoding.EncodeToString(signature)
	body, err := json.Marshal(signed)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// TestSNSMessages: both versions of signatures are accepted, and the certificate is fetched once.
func TestSNSMessages(t *testing.T) {
	t.Parallel()
	a := newAmazon(t, "sns.amazonaws.com", mailNow.AddDate(1, 0, 0))
	v := a.verifier(a.roots)
	for _, version := range []string{"1", "2", "1"} {
		m := notification(`{"eventType":"Delivery"}`)
		m["SignatureVersion"] = version
		content, err := v.Receive(t.Context(), a.sign(t, m))
		if err != nil || string(content) != `{"eventType":"Delivery"}` {
			t.Errorf("version %s: %s, %v", version, content, err)
		}
	}
	m := notification("no subject")
	delete(m, "Subject")
	if _, err := v.Receive(t.Context(), a.sign(t, m)); err != nil {
		t.Errorf("without subject: %v", err)
	}
	if !slices.Equal(a.fetched, []string{testCert}) {
		t.Errorf("fetched %v", a.fetched)
	}
}

// TestSNSSubscription: a subscription to an allowed topic is confirmed at SNS and nowhere else.
func TestSNSSubscription(t *testing.T) {
	t.Parallel()
	a := newAmazon(t, "sns.amazonaws.com", mailNow.AddDate(1, 0, 0))
	m := subscription()
	a.files[m["SubscribeURL"]] = []byte("<ConfirmSubscriptionResponse/>")
	if content, err := a.verifier(a.roots).Receive(t.Context(), a.sign(t, m)); err != nil || content != nil {
		t.Errorf("%s, %v", content, err)
	}
	if !slices.Contains(a.fetched, m["SubscribeURL"]) {
		t.Errorf("fetched %v", a.fetched)
	}
	for _, url := range []string{"https://evil.example/?Action=ConfirmSubscription", "http://sns.eu-central-1.amazonaws.com/", "https://169.254.169.254/", ""} {
		a.fetched = nil
		m["SubscribeURL"] = url
		if _, err := a.verifier(a.roots).Receive(t.Context(), a.sign(t, m)); subjects.CodeOf(err) != subjects.CodeUnauthenticated || slices.Contains(a.fetched, url) {
			t.Errorf("%s: %v, fetched %v", url, err, a.fetched)
		}
	}
	m = subscription()
	m["Type"] = "UnsubscribeConfirmation"
	a.fetched = nil
	if content, err := a.verifier(a.roots).Receive(t.Context(), a.sign(t, m)); err != nil || content != nil || slices.Contains(a.fetched, m["SubscribeURL"]) {
		t.Errorf("the end of a subscription: %s, %v, fetched %v", content, err, a.fetched)
	}
}

// TestSNSRefusals: what is not authentic is refused, and an address that is not one of SNS is not requested.
func TestSNSRefusals(t *testing.T) {
	t.Parallel()
	a := newAmazon(t, "sns.amazonaws.com", mailNow.AddDate(1, 0, 0))
	for name, change := range map[string]func(m map[string]string){
		"another topic":             func(m map[string]string) { m["TopicArn"] += "x" },
		"an old message":            func(m map[string]string) { m["Timestamp"] = "2026-11-28T11:59:00.123Z" },
		"a message from the future": func(m map[string]string) { m["Timestamp"] = "2026-11-30T13:59:00.123Z" },
		"no time":                   func(m map[string]string) { m["Timestamp"] = "" },
		"an unknown version":        func(m map[string]string) { m["SignatureVersion"] = "3" },
		"an unknown type":           func(m map[string]string) { m["Type"] = "Other" },
	} {
		m := notification("{}")
		change(m)
		if _, err := a.verifier(a.roots).Receive(t.Context(), a.sign(t, m)); subjects.CodeOf(err) != subjects.CodeUnauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, url := range []string{
		"http://sns.eu-central-1.amazonaws.com/x.pem", "https://sns.eu-central-1.amazonaws.com.evil.example/x.pem",
		"https://evil.example/sns.eu-central-1.amazonaws.com/x.pem", "https://sns.eu-central-1.amazonaws.com@evil.example/x.pem",
		"https://sns.eu-central-1.amazonaws.com:8443/x.pem", "https://s3.amazonaws.com/bucket/x.pem", "https://sns.eu-central-1.amazonaws.com/x.txt",
		"https://sns.eu-central-1.amazonaws.com.cn.evil.example/x.pem", "file:///etc/passwd", "",
	} {
		a.fetched = nil
		m := notification("{}")
		m["SigningCertURL"] = url
		if _, err := a.verifier(a.roots).Receive(t.Context(), a.sign(t, m)); subjects.CodeOf(err) != subjects.CodeUnauthenticated || len(a.fetched) != 0 {
			t.Errorf("certificate at %s: %v, fetched %v", url, err, a.fetched)
		}
	}
	body := a.sign(t, notification(`{"eventType":"Bounce"}`))
	for _, changed := range []string{
		strings.Replace(string(body), "Bounce", "Bouncf", 1), strings.Replace(string(body), "My First", "My 1st", 1), "{}", "no JSON", "",
	} {
		if _, err := a.verifier(a.roots).Receive(t.Context(), []byte(changed)); subjects.CodeOf(err) != subjects.CodeUnauthenticated {
			t.Errorf("%s: %v", changed, err)
		}
	}
}

// TestSNSCertificates: a certificate must be valid, for SNS and of a chain to a root.
func TestSNSCertificates(t *testing.T) {
	t.Parallel()
	later := mailNow.AddDate(1, 0, 0)
	alone := func(a *amazon) {
		a.files[testCert] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.leaf})
	}
	for name, test := range map[string]struct {
		host    string
		expires time.Time
		change  func(a *amazon)
		roots   bool
		ok      bool
	}{
		"for the region":          {"sns.eu-central-1.amazonaws.com", later, nil, true, true},
		"expired":                 {"sns.amazonaws.com", mailNow.Add(-time.Hour), nil, true, false},
		"for another host":        {"evil.example", later, nil, true, false},
		"of an unknown root":      {"sns.amazonaws.com", later, nil, false, false},
		"without its issuer":      {"sns.amazonaws.com", later, alone, true, false},
		"whose issuer is fetched": {"sns.amazonaws.com", later, func(a *amazon) { alone(a); a.files[testAIA] = a.issuer.Raw }, true, true},
		"whose issuer is another": {"sns.amazonaws.com", later, func(a *amazon) { alone(a); a.files[testAIA] = a.leaf }, true, false},
		"no certificate":          {"sns.amazonaws.com", later, func(a *amazon) { a.files[testCert] = []byte("nothing") }, true, false},
		"that is no certificate": {"sns.amazonaws.com", later, func(a *amazon) {
			a.files[testCert] = []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
		}, true, false},
		"that cannot be fetched": {"sns.amazonaws.com", later, func(a *amazon) { clear(a.files) }, true, false},
	} {
		a := newAmazon(t, test.host, test.expires)
		if test.change != nil {
			test.change(a)
		}
		roots := x509.NewCertPool()
		if test.roots {
			roots = a.roots
		}
		_, err := a.verifier(roots).Receive(t.Context(), a.sign(t, notification("{}")))
		if (err == nil) != test.ok || !test.ok && subjects.CodeOf(err) != subjects.CodeUnauthenticated {
			t.Errorf("a certificate %s: %v", name, err)
		}
	}
}
