package egress

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// HTTPClient is the client for libraries that bring their own requests. Every one goes through Do, under all its
// guards; redirects are not followed, but handed over as the answers they are.
func (c *Client) HTTPClient() *http.Client {
	return &http.Client{
		Transport:     roundTripper{c},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type roundTripper struct{ client *Client }

// RoundTrip implements http.RoundTripper. The answer's body is read as a whole, within the client's bounds.
func (t roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		body, err = io.ReadAll(r.Body)
		if err = errors.Join(err, r.Body.Close()); err != nil {
			return nil, fmt.Errorf("reading a request's body: %w", err)
		}
	}
	answer, err := t.client.Do(r.Context(), Request{
		Method: r.Method, URL: r.URL.String(), Header: r.Header, Body: body, NoRedirect: true,
	})
	if err != nil {
		return nil, err
	}
	return &http.Response{
		Status: strconv.Itoa(answer.Status) + " " + http.StatusText(answer.Status), StatusCode: answer.Status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: answer.Header,
		Body: io.NopCloser(bytes.NewReader(answer.Body)), ContentLength: int64(len(answer.Body)), Request: r,
	}, nil
}
