package definition_test

import (
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/workflow/definition"
	"github.com/weftmesh/weft/actors/workflow/language"
)

// TestSecretNames checks which names use.secrets may have.
func TestSecretNames(t *testing.T) {
	t.Parallel()
	for name, valid := range map[string]bool{
		"key": true, "a-b_C9": true, strings.Repeat("k", 63): true,
		strings.Repeat("k", 64): false, "no name": false, "9key": false, "_key": false, "k.e": false,
	} {
		w, faults := definition.Inspect([]byte(withTop("use: {secrets: ['"+name+"']}", "- a: {set: {x: 1}}\n")))
		if valid != (w != nil) {
			t.Errorf("%s: faults %v", name, faults)
		}
		if !valid && (len(faults) != 1 || faults[0].Pointer != "/use/secrets/0" || faults[0].Code != language.CodeValue) {
			t.Errorf("%s: faults %v", name, faults)
		}
	}
	_, faults := definition.Inspect([]byte(withTop("use: {secrets: [key, 'b c', 'd e']}", "- a: {set: {x: 1}}\n")))
	if len(faults) != 2 || faults[0].Pointer != "/use/secrets/1" || faults[1].Pointer != "/use/secrets/2" {
		t.Errorf("two invalid names: %v", faults)
	}
}

// TestSecretsInStoredArguments: functions that store their arguments reject secrets in them; functions that only use them do not.
func TestSecretsInStoredArguments(t *testing.T) {
	t.Parallel()
	for tasks, pointer := range map[string]string{
		"- a: {call: workflow.start, with: {name: x, input: {k: '${ $secrets.key }'}}}\n":                                  "/do/0/a",
		"- a: {call: approval.request, with: {title: '${ $secrets.key }'}}\n":                                              "/do/0/a",
		"- a: {call: notification.send, with: {body: '${ $secrets.key }'}}\n":                                              "/do/0/a",
		"- a: {input: {from: '{body: $secrets.key}'}, call: notification.send, with: {body: .b}}\n":                        "/do/0/a",
		"- a: {do: [{b: {call: notification.send, with: {body: '${ $secrets.key }'}}}]}\n":                                 "/do/0/a/do/0/b",
		"- a: {call: echo, metadata: {compensate: [{c: {call: approval.request, with: {title: '${ $secrets.key }'}}}]}}\n": "/do/0/a/metadata/compensate/0/c",
		"- a: {call: echo, with: {k: '${ $secrets.key | @base64 }'}}\n":                                                    "/do/0/a",
		"- a: {input: {from: '{k: $secrets.key}'}, call: echo, with: {k: '${ .k }'}}\n":                                    "/do/0/a",
		"- a: {call: consent.require, with: {scope: '${ $secrets.key }'}}\n":                                               "/do/0/a",
		"- a: {call: github.get, with: {token: '${ $secrets.key }'}}\n":                                                    "",
		"- a: {call: notification.send, with: {body: secrets}}\n":                                                          "",
	} {
		w, faults := definition.Inspect([]byte(withTop("use: {secrets: [key]}", tasks)))
		if pointer == "" {
			if w == nil {
				t.Errorf("%s: faults %v", tasks, faults)
			}
			continue
		}
		if len(faults) != 1 || faults[0].Pointer != pointer || faults[0].Code != language.CodeValue || faults[0].Line != 4 || faults[0].Column < 6 {
			t.Errorf("%s: faults %v, want one at %s", tasks, faults, pointer)
		}
	}
}
