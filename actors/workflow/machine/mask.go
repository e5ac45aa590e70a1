package machine

import (
	"fmt"
	"slices"
	"strings"
)

// leastSecret is the length from which on a text of a secret is looked for in data: a shorter one is found anywhere.
const leastSecret = 6

// secrets are the values of the secrets. Where one of those needed is not to be had, x.denied says so, and the call that is
// being prepared is not made.
func (x *Execution) secrets(needed ...string) map[string]any {
	values, err := x.readSecrets()
	if err != nil {
		x.denied = NewError(TypeCommunication, "the secrets cannot be read right now")
		return map[string]any{}
	}
	for _, name := range needed {
		if _, known := values[name]; !known {
			x.denied = NewError(TypeConfiguration, fmt.Sprintf("the secret %.80q is not set", name))
		}
	}
	return values
}

// readSecrets asks for the secrets, and notes their texts: whatever comes back from now on is masked.
func (x *Execution) readSecrets() (map[string]any, error) {
	if x.env.Secrets == nil {
		return map[string]any{}, nil
	}
	values, err := x.env.Secrets()
	if err != nil {
		return nil, err
	}
	for _, text := range gather(nil, values) {
		if !slices.Contains(x.texts, text) {
			x.texts = append(x.texts, text)
		}
	}
	return values, nil
}

// secretTexts are the texts of the secrets, which must not be written to the log: of those that calls took, or where none
// did since the execution was restored, as they are now.
func (x *Execution) secretTexts() []string {
	if x.texts == nil && len(x.def.Use.Secrets) > 0 {
		if _, err := x.readSecrets(); err != nil {
			return nil
		}
	}
	return x.texts
}

func gather(texts []string, value any) []string {
	switch value := value.(type) {
	case string:
		if len(value) >= leastSecret {
			texts = append(texts, value)
		}
	case map[string]any:
		for _, item := range value {
			texts = gather(texts, item)
		}
	case []any:
		for _, item := range value {
			texts = gather(texts, item)
		}
	}
	return texts
}

// mask replaces the texts of secrets in what comes back from a call: a server that echoes what it was sent must not
// bring them into the log. It changes the value in place.
func (x *Execution) mask(value any) any {
	if len(x.secretTexts()) == 0 {
		return value
	}
	switch value := value.(type) {
	case string:
		return x.maskText(value)
	case map[string]any:
		for key, item := range value {
			if masked := x.maskText(key); masked != key {
				delete(value, key)
				key = masked
			}
			value[key] = x.mask(item)
		}
	case []any:
		for i, item := range value {
			value[i] = x.mask(item)
		}
	}
	return value
}

func (x *Execution) maskText(text string) string {
	for _, secret := range x.secretTexts() {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return text
}
