package manifest

import (
	"slices"
	"strings"
	"testing"
)

// FuzzReplacer: a replacer returns what strings.NewReplacer returns, whether or not the text contains a secret.
func FuzzReplacer(f *testing.F) {
	f.Add("token-0123456789", "a text with token-0123456789 and token-0123 in it")
	f.Add("aaaaaaaa", "aaaaaaaaaaaaaaaaaaaa")
	f.Add(`quote"quote/`, `{"echo": "quote\"quote/", "as": "quote%22quote%2F"}`)
	f.Add("token-0123456789", "no secret at all")
	f.Fuzz(func(t *testing.T, secret, text string) {
		s := secretTexts([]string{secret})
		var pairs []string
		for _, form := range s {
			if len(form) >= minInOutput {
				pairs = append(pairs, form, Redacted)
			}
		}
		got := s.replacer(minInOutput).Replace(text)
		if want := strings.NewReplacer(pairs...).Replace(text); got != want {
			t.Errorf("%q of %q is %q, want %q", secret, text, got, want)
		}
	})
}

func BenchmarkReplacer(b *testing.B) {
	text := strings.Repeat("the text of a response without any secret in it, ", 20)
	s := secretTexts([]string{"xoxb-0123456789-abcdefghij"})
	b.ReportAllocs()
	for b.Loop() {
		s.replacer(minInOutput).Replace(text)
	}
}

// secretTexts converts texts to secrets; empty ones are ignored.
func secretTexts(texts []string) secrets {
	return slices.DeleteFunc(secrets(slices.Clone(texts)), func(text string) bool { return text == "" }).withEncodings()
}
