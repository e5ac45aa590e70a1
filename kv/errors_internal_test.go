package kv

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// An error of the server's own is one of a bucket that cannot be reached; one of the request is not.
func TestClassifyAPI(t *testing.T) {
	t.Parallel()
	for want, list := range map[error][]jetstream.APIError{
		ErrUnavailable: {{Code: 503, ErrorCode: 10008}, {Code: 500, ErrorCode: 10009}},
		ErrConflict:    {{Code: 400, ErrorCode: jetstream.JSErrCodeStreamWrongLastSequence}},
		nil:            {{Code: 400, ErrorCode: 10025}, {Code: 429, ErrorCode: 10167}},
	} {
		for _, api := range list {
			if got := classify(&api); !errors.Is(got, want) {
				t.Errorf("%+v is %v, want %v", api, got, want)
			}
		}
	}
	if got := classify(&nats.APIError{Code: 503, ErrorCode: 10008}); !errors.Is(got, ErrUnavailable) {
		t.Errorf("an error of a watch is %v", got)
	}
}
