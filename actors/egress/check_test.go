package egress_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/weftmesh/weft/actors/egress"
)

// TestCheck: a URL is refused without a call where a call would be, and a name that does not resolve now may later.
func TestCheck(t *testing.T) {
	t.Parallel()
	client, err := egress.New(egress.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	if err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]egress.Kind{
		"https://127.0.0.1/push": "", "https://127.0.0.1:8443/push": "", "https://[::ffff:127.0.0.1]/": "", "https://93.184.215.14/": "", "https://localhost/": "?",
		"http://127.0.0.1/": egress.KindScheme, "ftp://127.0.0.1/": egress.KindScheme, "https://127.0.0.2/": egress.KindBlocked,
		"https://10.0.0.1/": egress.KindBlocked, "https://169.254.169.254/latest/meta-data": egress.KindBlocked, "https://[::1]/": egress.KindBlocked,
		"https://[fd00:ec2::254]/": egress.KindBlocked, "https://[::ffff:10.0.0.1]/": egress.KindBlocked, "https://[64:ff9b::a00:1]/": egress.KindBlocked,
		"https://0.0.0.0/": egress.KindBlocked, "https://[fe80::1%25eth0]/": egress.KindBlocked, "https://100.64.0.1/": egress.KindBlocked,
		"https://2130706433/": egress.KindBlocked, "https://0x7f000001/": egress.KindBlocked, "https://name.invalid/": egress.KindBlocked,
		"https://": egress.KindInvalid, "https://user:password@127.0.0.1/": egress.KindInvalid, "://": egress.KindInvalid, "": egress.KindInvalid,
	} {
		err := client.Check(t.Context(), url)
		if want == "?" { // it may resolve to ::1 too, which is not allowed
			want = egress.KindOf(err)
			if want != "" && want != egress.KindBlocked {
				t.Errorf("%s: %v", url, err)
			}
		}
		var e *egress.Error
		if egress.KindOf(err) != want || err != nil && (!errors.As(err, &e) || e.Sent) {
			t.Errorf("%s: got %v, want %q", url, err, want)
		}
	}
}

// TestCheckOfNames: what a name resolves to decides, and a name that cannot be resolved has the error of one that is blocked.
func TestCheckOfNames(t *testing.T) {
	t.Parallel()
	for ip, want := range map[[4]byte]egress.Kind{{127, 0, 0, 1}: "", {93, 184, 215, 14}: "", {10, 0, 0, 7}: egress.KindBlocked, {169, 254, 169, 254}: egress.KindBlocked} {
		names := newResolver(t, ip)
		client := newClient(t, func(o *egress.Options) { o.Resolver = names })
		if err := client.Check(t.Context(), "https://push.example.com/1"); egress.KindOf(err) != want {
			t.Errorf("%v: got %v, want %q", ip, err, want)
		}
	}
	blocked := newClient(t, func(o *egress.Options) { o.Resolver = newResolver(t, [4]byte{10, 0, 0, 7}) }).Check(t.Context(), "https://vault.example/")
	client := newClient(t, func(o *egress.Options) {
		o.Resolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no server") }}
	})
	missing := client.Check(t.Context(), "https://vault.example/")
	if blocked == nil || missing == nil || blocked.Error() != missing.Error() {
		t.Errorf("%v and %v", blocked, missing)
	}
}
