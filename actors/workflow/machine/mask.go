package machine

import "strings"

// leastSecret is the length from which on a text of a secret is looked for in data: a shorter one is found anywhere.
const leastSecret = 6

// secretTexts are the texts of the secrets, which must not be written to the log.
func (x *Execution) secretTexts() []string {
	if x.texts == nil {
		x.texts = gather([]string{}, x.env.Secrets)
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
	if len(x.env.Secrets) == 0 {
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
	if len(x.env.Secrets) == 0 {
		return text
	}
	for _, secret := range x.secretTexts() {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return text
}
