package machine

import (
	"fmt"
	"slices"
	"strings"
)

// minSecretLength is the length in bytes from which a secret's text is masked; shorter ones would match unrelated text.
const minSecretLength = 6

// secretReader reads the values of secrets, and masks them in what comes back from calls.
type secretReader struct {
	// read is Environment.Secrets; declared: the definition has use.secrets.
	read     func() (map[string]any, error)
	declared bool
	// texts are the secret texts read so far. denied is why a secret that the current call uses is unavailable.
	texts  []string
	denied error
}

// values returns the values of the secrets. If a needed one is unavailable it sets denied, and the call being built
// fails.
func (s *secretReader) values(needed ...string) map[string]any {
	values, err := s.load()
	if err != nil {
		s.denied = NewError(TypeCommunication, "the secrets are unavailable")
		return map[string]any{}
	}
	for _, name := range needed {
		if _, known := values[name]; !known {
			s.denied = NewError(TypeAuthorization, fmt.Sprintf("the secret %.80q is not set", name))
		}
	}
	return values
}

// load reads the secrets and records their texts, so that they are masked from now on.
func (s *secretReader) load() (map[string]any, error) {
	if s.read == nil {
		return map[string]any{}, nil
	}
	values, err := s.read()
	if err != nil {
		return nil, err
	}
	for _, text := range secretTexts(nil, values) {
		if !slices.Contains(s.texts, text) {
			s.texts = append(s.texts, text)
		}
	}
	return values, nil
}

// knownTexts are the texts that must not be written to the log. If no call has read the secrets since the execution was
// restored, they are read now.
func (s *secretReader) knownTexts() []string {
	if s.texts == nil && s.declared {
		if _, err := s.load(); err != nil {
			return nil
		}
	}
	return s.texts
}

func secretTexts(texts []string, value any) []string {
	switch value := value.(type) {
	case string:
		if len(value) >= minSecretLength {
			texts = append(texts, value)
		}
	case map[string]any:
		for _, item := range value {
			texts = secretTexts(texts, item)
		}
	case []any:
		for _, item := range value {
			texts = secretTexts(texts, item)
		}
	}
	return texts
}

// mask replaces secret texts in the result of a call, so that a server that echoes its request does not bring them into
// the log. It changes the value in place.
func (s *secretReader) mask(value any) any {
	if len(s.knownTexts()) == 0 {
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
	for _, secret := range s.knownTexts() {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return text
}
