// Command go is an extension of weft with two functions: acme.price looks a price up, and acme.report takes long. It needs no library of
// weft's, only a client of NATS.
//
//	weft extension enroll acme
//	go run ./examples/extensions/go nats://127.0.0.1:4222 acme.nk
package main

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

const name = "acme"

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: go URL KEY-FILE")
	}
	key, err := nats.NkeyOptionFromSeed(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	// Replies come back to inboxes below the extension's own prefix.
	conn, err := nats.Connect(os.Args[1], key, nats.Name(name), nats.CustomInboxPrefix("_INBOX_extension-"+name), nats.MaxReconnects(-1))
	if err != nil {
		log.Fatal(err)
	}
	a := &acme{conn: conn, running: map[string]context.CancelFunc{}}
	if err := a.serve(); err != nil {
		log.Fatal(err)
	}
	log.Print("serving")
	stop, done := signal.NotifyContext(context.Background(), os.Interrupt)
	<-stop.Done()
	done()
	_ = conn.Drain()
}

type acme struct {
	conn *nats.Conn

	mu sync.Mutex
	// keys are weft's public keys, by id; running are the attempts under way, by id.
	keys    map[string]ed25519.PublicKey
	running map[string]context.CancelFunc
}

func (a *acme) serve() error {
	service, err := micro.AddService(a.conn, micro.Config{Name: name, Version: "1.0.0", Description: "Prices and reports"})
	if err != nil {
		return err
	}
	// The metadata is the contract that weft checks workflows with.
	err = service.AddEndpoint("price", micro.HandlerFunc(a.price), micro.WithEndpointSubject("weft.ext.v1.acme.price"),
		micro.WithEndpointMetadata(map[string]string{
			"weft.summary": "The price of an article.",
			"weft.input":   `{"type":"object","required":["sku"],"properties":{"sku":{"type":"string"}},"additionalProperties":false}`,
			"weft.output":  `{"type":"object","required":["price"],"properties":{"price":{"type":"number"}}}`,
			"weft.safety":  "read",
			"weft.timeout": "5s",
		}))
	if err != nil {
		return err
	}
	err = service.AddEndpoint("report", micro.HandlerFunc(a.report), micro.WithEndpointSubject("weft.ext.v1.acme.report"),
		micro.WithEndpointMetadata(map[string]string{
			"weft.summary":   "A report, which takes a while.",
			"weft.input":     `{"type":"object","properties":{"seconds":{"type":"number","maximum":600}}}`,
			"weft.safety":    "idempotent",
			"weft.timeout":   "30s",
			"weft.heartbeat": "3s",
		}))
	if err != nil {
		return err
	}
	// Every copy receives which attempts are not awaited any more.
	_, err = a.conn.Subscribe("weft.ext.v1.acme.*.cancel", func(m *nats.Msg) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if cancel := a.running[m.Header.Get("Weft-Call-Id")]; cancel != nil {
			cancel()
		}
	})
	return err
}

func (a *acme) price(r micro.Request) {
	var input struct{ SKU string }
	if err := json.Unmarshal(r.Data(), &input); err != nil {
		_ = r.Error("400", err.Error(), nil)
		return
	}
	claims, err := a.verify(r)
	if err != nil {
		_ = r.Error("401", err.Error(), nil)
		return
	}
	log.Printf("price of %s for the user %s", input.SKU, claims.Subject)
	if input.SKU == "" || input.SKU[0] != 'a' {
		_ = r.Error("404", "there is no article "+input.SKU, nil) // 4xx: the call is not repeated
		return
	}
	_ = r.RespondJSON(map[string]any{"price": 12.5})
}

// report works in the background, because an endpoint handles one request after the other.
func (a *acme) report(r micro.Request) {
	if _, err := a.verify(r); err != nil {
		_ = r.Error("401", err.Error(), nil)
		return
	}
	var input struct{ Seconds float64 }
	_ = json.Unmarshal(r.Data(), &input)
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(input.Seconds*float64(time.Second)))
	id := r.Headers().Get("Weft-Call-Id")
	a.mu.Lock()
	a.running[id] = cancel
	a.mu.Unlock()
	go func() {
		defer func() {
			cancel()
			a.mu.Lock()
			defer a.mu.Unlock()
			delete(a.running, id)
		}()
		beat := time.NewTicker(time.Second)
		defer beat.Stop()
		for {
			select {
			case <-beat.C:
				_ = r.Respond([]byte("+WPI")) // a heartbeat
			case <-ctx.Done():
				if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
					log.Printf("the call %s is not awaited any more", id)
					return
				}
				_ = r.RespondJSON(map[string]any{"pages": 3})
				a.publish("reported", id, r.Headers().Get("Weft-User-Id"), map[string]any{"pages": 3})
				return
			}
		}
	}()
}

// publish publishes the event ext.acme.<event> to the workflows of one user that listen for it.
func (a *acme) publish(event, id, userID string, data any) {
	request, err := json.Marshal(map[string]any{"id": id, "event": event, "user_id": userID, "data": data})
	if err == nil {
		// It is stored when the answer has come; sent again with the same id, it starts nothing again.
		_, err = a.conn.Request("weft.v1.workflow.publish_extension_event.as.extension.acme", request, 10*time.Second)
	}
	if err != nil {
		log.Print(err)
	}
}

// claims are what weft has signed of a call.
type claims struct {
	Audience string `json:"aud"`
	Subject  string `json:"sub"`
	ID       string `json:"jti"`
	Expires  int64  `json:"exp"`
	Payload  string `json:"payload_sha256"`
}

// verify checks the signature of a call: a compact JWS over the headers' values and the digest of the payload.
func (a *acme) verify(r micro.Request) (c claims, err error) {
	parts := strings.Split(r.Headers().Get("Weft-Call-Signature"), ".")
	if len(parts) != 3 {
		return c, errors.New("the call is not signed")
	}
	var header struct{ Alg, Typ, Kid string }
	if err := decode(parts[0], &header); err != nil || header.Alg != "EdDSA" || header.Typ != "weft-call+jwt" {
		return c, errors.New("the signature has another type")
	}
	key, err := a.key(header.Kid)
	if err != nil {
		return c, err
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || !ed25519.Verify(key, []byte(parts[0]+"."+parts[1]), signature) {
		return c, errors.New("the signature is wrong")
	}
	if err := decode(parts[1], &c); err != nil {
		return c, err
	}
	sum := sha256.Sum256(r.Data())
	if c.Audience != r.Subject() || time.Now().Unix() > c.Expires || c.ID != r.Headers().Get("Weft-Call-Id") ||
		c.Payload != base64.RawURLEncoding.EncodeToString(sum[:]) {
		return c, errors.New("the signature is of another call, or has expired")
	}
	return c, nil
}

func decode(part string, v any) error {
	data, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

// key returns one of weft's public keys. A key that is not known is asked for.
func (a *acme) key(id string) (ed25519.PublicKey, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if key := a.keys[id]; key != nil {
		return key, nil
	}
	answer, err := a.conn.Request("weft.v1.workflow.get_extension_keys.as.extension.acme", nil, 5*time.Second)
	if err != nil {
		return nil, err
	}
	var set struct {
		Keys []struct{ Kid, X string }
	}
	if err := json.Unmarshal(answer.Data, &set); err != nil {
		return nil, err
	}
	a.keys = map[string]ed25519.PublicKey{}
	for _, k := range set.Keys {
		if x, err := base64.RawURLEncoding.DecodeString(k.X); err == nil && len(x) == ed25519.PublicKeySize {
			a.keys[k.Kid] = x
		}
	}
	if a.keys[id] == nil {
		return nil, fmt.Errorf("weft has no key %q", id)
	}
	return a.keys[id], nil
}
