package subjects_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// testMasking checks that formatting masks a secret, that an empty one shows as empty, and that JSON carries it.
func testMasking[T any](t *testing.T, secret, empty T, wire string) {
	t.Helper()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for _, value := range []any{secret, struct{ Secret T }{secret}, []T{secret}} {
			if got := fmt.Sprintf(verb, value); strings.Contains(got, "canary") || !strings.Contains(got, "***") {
				t.Errorf("%T formatted with %s is %s", value, verb, got)
			}
		}
	}
	if got := fmt.Sprint(empty); got != "" {
		t.Errorf("an empty %T is formatted as %q", empty, got)
	}
	if got, err := json.Marshal(secret); err != nil || string(got) != wire {
		t.Errorf("%T is encoded as %s, %v", secret, got, err)
	}
}
