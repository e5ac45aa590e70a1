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
// secretReader reads the values of secrets, and masks them in what comes back from calls.
type secretReader struct {
	// read is Environment.Secrets; declared: the definition has use.secrets.
	read     func() (map[string]any, error)
	declared bool
	// texts are the secret texts seen so far. denied is why a secret that the call being built needs is unavailable.
	texts  []string
	denied error
}

func (s *secretReader) values(needed ...string) map[string]any {
	values, err := s.load()
	if err != nil {
		s.denied = NewError(TypeCommunication, "the secrets cannot be read right now")
		return map[string]any{}
	}
	for _, name := range needed {
		if _, known := values[name]; !known {
			s.denied = NewError(TypeConfiguration, fmt.Sprintf("the secret %.80q is not set", name))
		}
	}
	return values
}

// readSecrets asks for the secrets, and notes their texts: whatever comes back from now on is masked.
func (s *secretReader) load() (map[string]any, error) {
	if s.read == nil {
		return map[string]any{}, nil
	}
	values, err := s.read()
	if err != nil {
		return nil, err
	}
	for _, text := range gather(nil, values) {
		if !slices.Contains(s.texts, text) {
			s.texts = append(s.texts, text)
		}
	}
	return values, nil
}

// known are the texts of the secrets, which must not be written to the log: of those that calls took, or where none
// did since the execution was restored, as they are now.
func (s *secretReader) known() []string {
	if s.texts == nil && s.declared {
		if _, err := s.load(); err != nil {
			return nil
		}
	}
	return s.texts
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
func (s *secretReader) mask(value any) any {
	if len(s.known()) == 0 {
		return value
	}
	switch value := value.(type) {
	case string:
		return s.maskText(value)
	case map[string]any:
		for key, item := range value {
			if masked := s.maskText(key); masked != key {
				delete(value, key)
				key = masked
			}
			value[key] = s.mask(item)
		}
	case []any:
		for i, item := range value {
			value[i] = s.mask(item)
		}
	}
	return value
}

func (s *secretReader) maskText(text string) string {
	for _, secret := range s.known() {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return text
}
