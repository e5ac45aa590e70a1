package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
)

func demoCommand() *cobra.Command {
	var url string
	var withMail, keep bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run a demonstration against a running weft",
		Long: "Creates an account, grants consents, connects a small shop API that this command serves, creates a workflow, runs it, " +
			"shows the notification, revokes a consent and shows that the next call is refused. Each request is printed as a curl " +
			"command that runs as printed in bash and zsh, after the one that sets TOKEN; with --keep the shop stays for them until " +
			"Ctrl-C.\n\nThe running weft must be allowed to call this machine: start it with `weft up --dev`, or " +
			"WEFT_EGRESS_ALLOW=127.0.0.0/8 WEFT_EGRESS_ALLOW_HTTP=true weft up.",
		Example: "  weft up --dev &\n  weft demo\n  weft demo --url http://127.0.0.1:8080 --mail\n  weft demo --keep",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &demo{url: strings.TrimSuffix(url, "/"), out: cmd.OutOrStdout(), mail: withMail, keep: keep}
			return d.play(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&url, "url", "http://127.0.0.1:8080", "URL of the running weft")
	cmd.Flags().BoolVar(&keep, "keep", false, "keep the shop after the last step, so that the printed commands can be repeated")
	cmd.Flags().BoolVar(&withMail, "mail", false, "also send the notification by e-mail (requires notification.smtp)")
	return cmd
}

// demo is an HTTP client that prints its requests. After the first error, which err holds, its methods do nothing.
type demo struct {
	url    string
	client http.Client
	out    io.Writer
	mail   bool
	// keep keeps the shop until the context ends.
	keep  bool
	token string
	err   error
}

// heading prints the title of a step.
func (d *demo) heading(format string, args ...any) {
	if d.err == nil {
		_, d.err = fmt.Fprintf(d.out, "\n# "+format+"\n", args...)
	}
}

// reply is an HTTP response.
type reply struct {
	status int
	header http.Header
	// body is the decoded JSON object, if text is one.
	body map[string]any
	text string
}

// str returns the string at a path of the body, or "".
func (r reply) str(path ...string) string {
	var v any = r.body
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	s, _ := v.(string)
	return s
}

// request makes a request and prints it with its response. A status other than want is an error.
func (d *demo) request(ctx context.Context, want int, method, path, contentType, body string) reply {
	if d.err != nil {
		return reply{}
	}
	var r reply
	if r, d.err = d.do(ctx, method, path, contentType, body); d.err != nil {
		return r
	}
	d.print(method, path, contentType, body, r)
	if r.status != want && d.err == nil {
		d.err = fmt.Errorf("%s %s returned status %d, expected %d: %s", method, path, r.status, want, r.text)
	}
	return r
}

// json is request with a body that is encoded as JSON; nil sends none.
func (d *demo) json(ctx context.Context, want int, method, path string, body any) reply {
	text := ""
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			d.err = errors.Join(d.err, err)
		}
		text = string(data)
	}
	return d.request(ctx, want, method, path, "application/json", text)
}

// do makes a request without printing it.
func (d *demo) do(ctx context.Context, method, path, contentType, body string) (reply, error) {
	request, err := http.NewRequestWithContext(ctx, method, d.url+path, strings.NewReader(body))
	if err != nil {
		return reply{}, fmt.Errorf("making a request: %w", err)
	}
	if body != "" {
		request.Header.Set("Content-Type", contentType)
	}
	if d.token != "" {
		request.Header.Set("Authorization", "Bearer "+d.token)
	}
	response, err := d.client.Do(request)
	if err != nil {
		return reply{}, fmt.Errorf("is weft running? %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(response.Body, 4<<20))
	if err != nil {
		return reply{}, fmt.Errorf("reading a response: %w", err)
	}
	r := reply{status: response.StatusCode, header: response.Header, text: string(data)}
	if len(data) > 0 {
		_ = json.Unmarshal(data, &r.body)
	}
	return r, nil
}

// print prints a request as a curl command, with its response below. Tokens are replaced: $TOKEN, or … in a response.
func (d *demo) print(method, path, contentType, body string, r reply) {
	var b strings.Builder
	b.WriteString(d.curl(method, path, contentType, body))
	fmt.Fprintf(&b, "\n%d", r.status)
	if location := r.header.Get("Location"); location != "" {
		fmt.Fprintf(&b, " Location: %s", location)
	}
	b.WriteString("\n")
	if r.text != "" {
		b.WriteString(printable(r.text) + "\n")
	}
	_, err := io.WriteString(d.out, b.String())
	d.err = errors.Join(d.err, err)
}

// curl returns a request as a command for bash and zsh, whose globs and history an unquoted ? and ! would meet. $TOKEN is the token.
func (d *demo) curl(method, path, contentType, body string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "curl -sX %s %s", method, shellQuote(d.url+path))
	if d.token != "" {
		b.WriteString(` -H "Authorization: Bearer $TOKEN"`)
	}
	if body != "" {
		fmt.Fprintf(&b, " -H %s --data-binary %s", shellQuote("Content-Type: "+contentType), shellQuote(body))
	}
	return b.String()
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// maxPrinted bounds how much of a response is printed, in bytes.
const maxPrinted = 1200

// printable indents JSON, masks tokens and truncates to maxPrinted.
func printable(text string) string {
	var v any
	if json.Unmarshal([]byte(text), &v) == nil {
		maskTokens(v)
		var b bytes.Buffer
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if encoder.Encode(v) == nil {
			text = strings.TrimSpace(b.String())
		}
	}
	if len(text) > maxPrinted {
		text = text[:maxPrinted] + "\n  …"
	}
	return text
}

// maskTokens replaces the value of every field whose name ends in _token.
func maskTokens(v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if strings.HasSuffix(key, "_token") {
				v[key] = "…"
				continue
			}
			maskTokens(value)
		}
	case []any:
		for _, item := range v {
			maskTokens(item)
		}
	}
}
