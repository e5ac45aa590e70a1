package egress

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// HTTPClient returns an http.Client for libraries that build their own requests. Every request goes through Do and its
// guards. Redirects are returned as responses, not followed.
func (c *Client) HTTPClient() *http.Client {
	return &http.Client{
		Transport:     roundTripper{c},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type roundTripper struct{ client *Client }

// RoundTrip implements http.RoundTripper. It reads the whole response body, within the client's limits. A byte order mark before JSON is
// removed, because the libraries' decoders refuse it.
func (t roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		body, err = io.ReadAll(r.Body)
		if err = errors.Join(err, r.Body.Close()); err != nil {
			return nil, fmt.Errorf("reading the request body: %w", err)
		}
	}
	response, err := t.client.Do(r.Context(), Request{
		Method: r.Method, URL: r.URL.String(), Header: r.Header, Body: body, NoRedirect: true,
	})
	if err != nil {
		return nil, err
	}
	if strings.Contains(response.Header.Get("Content-Type"), "json") {
		response.Body = TrimBOM(response.Body)
	}
	return &http.Response{
		Status: strconv.Itoa(response.Status) + " " + http.StatusText(response.Status), StatusCode: response.Status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: response.Header,
		Body: io.NopCloser(bytes.NewReader(response.Body)), ContentLength: int64(len(response.Body)), Request: r,
	}, nil
}
