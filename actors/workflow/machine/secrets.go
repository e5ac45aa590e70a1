package machine

import (
	"fmt"
	"slices"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// Errors whose texts could contain parts of a secret have these details instead.
const (
	withheldArguments = "an expression in the arguments of the call failed; its message is withheld, because the arguments use $secrets"
	withheldFailure   = "the call failed; the message is withheld, because it may repeat what the call derives from $secrets"
)

// maxSecrets bounds the secrets of an execution, in bytes: their texts are looked for in what calls return.
const maxSecrets = 4 << 20

// secretReader reads the values of secrets, and masks them in what comes back from calls.
//
// The rule that keeps secrets out of the log does not depend on masking: an expression that mentions $secrets is refused by
// package language wherever its result would be kept, $secrets is empty except while a call is built, and the errors and
// copies of what is built are withheld as language.SecretUse says. Masking is an addition, for servers that echo.
type secretReader struct {
	// read is Environment.Secrets; declared: the definition has use.secrets.
	read     func() (map[string]any, error)
	declared bool
	// building: a call is being built. Only then are there secrets to read.
	building bool
	// masks replaces the secret texts read so far, and their encodings. denied is why a secret that the current call uses
	// is unavailable.
	masks  masks
	denied error
}

// variable is $secrets: empty except in a call that is being built.
func (s *secretReader) variable(names []string) map[string]any {
	if !s.building {
		return map[string]any{}
	}
	return s.values(names...)
}

// values returns the values of the secrets. If a needed one is unavailable it sets denied, and the call being built
// fails.
func (s *secretReader) values(needed ...string) map[string]any {
	values, unread := s.load()
	if unread != nil {
		s.denied = unread
		return map[string]any{}
	}
	for _, name := range needed {
		if _, known := values[name]; !known {
			// The specification: "A runtime must raise an error with type …/authorization and status 403 when access to a secret is denied".
			s.denied = NewError(TypeAuthorization, fmt.Sprintf("the secret %.80q is not set", name))
		}
	}
	return values
}

// load reads the secrets and records their texts, so that they are masked from now on. The error is that of a call which needs them.
func (s *secretReader) load() (map[string]any, *Error) {
	if s.read == nil {
		return map[string]any{}, nil
	}
	values, err := s.read()
	if err != nil {
		return nil, NewError(TypeCommunication, "the secrets are unavailable")
	}
	size := scale{bound: maxSecrets}
	size.add(values, 0)
	switch {
	case size.refused != "":
		return nil, NewError(TypeConfiguration, "one of the secrets "+size.refused)
	case size.weight > maxSecrets:
		return nil, NewError(TypeConfiguration, fmt.Sprintf("the secrets have more than %d bytes", maxSecrets))
	}
	s.masks.add(values)
	return values, nil
}

// ready returns an error if the secrets must be masked and cannot be read: they have not been since the execution was
// restored.
func (s *secretReader) ready() *Error {
	if s.masks.read || !s.declared {
		return nil
	}
	_, unread := s.load()
	return unread
}

// mask replaces secret texts in the result of a call, so that a server that echoes its request does not bring them into
// the log.
func (s *secretReader) mask(value any) any {
	if s.ready() != nil || s.masks.empty() {
		return value
	}
	return s.masks.value(value)
}

func (s *secretReader) maskText(text string) string {
	if s.ready() != nil || s.masks.empty() {
		return text
	}
	return s.masks.text(text)
}

// failure is the error of a call, without what may derive from secrets. An error about a missing scope or consent
// is kept: these texts are weft's own.
func (s *secretReader) failure(task *language.Task, failure Error) *Error {
	if task.Secrets.Quoted && failure.Type != TypeAuthorization {
		failure.Title, failure.Detail = NewError(failure.Type, "").Title, withheldFailure
	}
	failure.Title, failure.Detail = s.maskText(validText(failure.Title)), s.maskText(validText(failure.Detail))
	return &failure
}

// withheld marks the parts of a request that its copies must not have.
func (r *HTTPRequest) withheld(use language.SecretUse) *HTTPRequest {
	r.Secret = use
	return r
}

// secretHeader reports whether a header's value derives from $secrets, by its lower-case name.
func (r *HTTPRequest) secretHeader(name string) bool {
	return r.Secret.AllHeaders || r.Secret.Headers[name] ||
		slices.Contains([]string{"authorization", "cookie", "proxy-authorization"}, name)
}
