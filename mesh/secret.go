package mesh

// Secret is a string that is masked in logs, errors, documents and configuration dumps. Only Reveal returns its content.
type Secret string

const masked = "***"

// String masks the secret. An empty one stays empty, so that a dump shows whether it is set.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return masked
}

// GoString masks the secret in %#v.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// MarshalText masks the secret in JSON, YAML and text.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Reveal returns the content.
func (s Secret) Reveal() string { return string(s) }
