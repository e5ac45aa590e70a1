package auth

import (
	"bytes"
	"testing"
)

func TestDeviceTokens(t *testing.T) {
	t.Parallel()
	d, other := devices{key: []byte("key")}, devices{key: []byte("another key")}
	token := d.issue("ada@example.com")
	if token == d.issue("ada@example.com") {
		t.Errorf("two tokens are equal")
	}
	if !d.verify("ada@example.com", token) || d.limiterKey("ada@example.com", token) == "" {
		t.Errorf("an issued token is refused")
	}
	for name, known := range map[string]bool{
		"another address":  d.verify("eve@example.com", token),
		"another key":      other.verify("ada@example.com", token),
		"a changed token":  d.verify("ada@example.com", "A"+token[1:]) && token[0] != 'A',
		"a shorter token":  d.verify("ada@example.com", token[:len(token)-2]),
		"an empty token":   d.verify("ada@example.com", ""),
		"no base64":        d.verify("ada@example.com", "!"),
		"a padded token":   d.verify("ada@example.com", token+"="),
		"an unknown token": d.limiterKey("ada@example.com", "x") != "",
	} {
		if known {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestSameClient(t *testing.T) {
	t.Parallel()
	d := devices{key: []byte("key")}
	first, second := d.client(t.Context(), "token"), d.client(t.Context(), "")
	if second.device != nil || !bytes.Equal(first.origin, second.origin) {
		t.Errorf("the clients are %+v and %+v", first, second)
	}
	s := session{DeviceHash: first.device, RefreshedBy: first.origin}
	for name, test := range map[string]struct {
		by   client
		want bool
	}{
		"the device at another origin":  {client{device: first.device, origin: []byte("x")}, true},
		"another device at this origin": {client{device: []byte("x"), origin: first.origin}, false},
		"no device at this origin":      {client{origin: first.origin}, true},
		"no device at another origin":   {client{origin: []byte("x")}, false},
	} {
		if got := s.sameClient(test.by); got != test.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
