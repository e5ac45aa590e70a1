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
	"time"

	"github.com/spf13/cobra"
)

func demoCommand() *cobra.Command {
	var url string
	var withMail bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Play the product's story against a running weft",
		Long: "Signs somebody up, lets them consent, connects a small shop API that this command serves itself, hands in a workflow, " +
			"runs it, shows the notification, takes the consent back and shows the refusal. Each request is printed as a curl " +
			"command that can be repeated.\n\nThe running weft must be allowed to call this machine: start it with `weft up --dev`, or " +
			"WEFT_EGRESS_ALLOW=127.0.0.0/8 WEFT_EGRESS_ALLOW_HTTP=true weft up.",
		Example: "  weft up --dev &\n  weft demo\n  weft demo --url http://127.0.0.1:8080 --mail",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Minute)
			defer cancel()
			d := &demo{url: strings.TrimSuffix(url, "/"), out: cmd.OutOrStdout(), mail: withMail}
			return d.play(ctx)
		},
	}
	cmd.Flags().StringVar(&url, "url", "http://127.0.0.1:8080", "the running weft")
	cmd.Flags().BoolVar(&withMail, "mail", false, "send the notification by mail too (weft must have a mail server configured)")
	return cmd
}

// demo plays the story: it makes requests as a client would, and prints each.
type demo struct {
	url    string
	client http.Client
	out    io.Writer
	mail   bool
	token  string
	err    error
}

// say prints a heading.
func (d *demo) say(format string, args ...any) {
	if d.err == nil {
		_, d.err = fmt.Fprintf(d.out, "\n# "+format+"\n", args...)
	}
}

// reply is one HTTP answer.
type reply struct {
	status int
	header http.Header
	body   map[string]any
	text   string
}

func (r reply) str(path ...string) string {
	var v any = r.body
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	s, _ := v.(string)
	return s
}

// request makes one request, prints it as curl with its answer, and fails the story where the status is
// not the wanted one.
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
		d.err = fmt.Errorf("%s %s answered %d, the story wants %d: %s", method, path, r.status, want, r.text)
	}
	return r
}

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
	answer, err := d.client.Do(request)
	if err != nil {
		return reply{}, fmt.Errorf("is weft running? %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(answer.Body, 4<<20))
	if err != nil {
		return reply{}, fmt.Errorf("reading an answer: %w", err)
	}
	r := reply{status: answer.StatusCode, header: answer.Header, text: string(data)}
	if len(data) > 0 {
		_ = json.Unmarshal(data, &r.body)
	}
	return r, nil
}

// print shows the request as a curl command and the answer below it. Tokens are shown as $TOKEN.
func (d *demo) print(method, path, contentType, body string, r reply) {
	var b strings.Builder
	fmt.Fprintf(&b, "$ curl -sX %s %s%s", method, d.url, path)
	if d.token != "" {
		b.WriteString(` -H "Authorization: Bearer $TOKEN"`)
	}
	if body != "" {
		fmt.Fprintf(&b, " -H 'Content-Type: %s' --data-binary %s", contentType, shellQuote(body))
	}
	fmt.Fprintf(&b, "\n%d", r.status)
	if location := r.header.Get("Location"); location != "" {
		fmt.Fprintf(&b, " Location: %s", location)
	}
	b.WriteString("\n")
	if r.text != "" {
		b.WriteString(pretty(r.text) + "\n")
	}
	_, err := io.WriteString(d.out, b.String())
	d.err = errors.Join(d.err, err)
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// shown bounds how much of an answer is printed.
const shown = 1200

// pretty indents JSON, hides tokens and cuts what is long.
func pretty(text string) string {
	var v any
	if json.Unmarshal([]byte(text), &v) == nil {
		hideTokens(v)
		var b bytes.Buffer
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if encoder.Encode(v) == nil {
			text = strings.TrimSpace(b.String())
		}
	}
	if len(text) > shown {
		text = text[:shown] + "\n  …"
	}
	return text
}

func hideTokens(v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if strings.HasSuffix(key, "_token") {
				v[key] = "…"
				continue
			}
			hideTokens(value)
		}
	case []any:
		for _, item := range v {
			hideTokens(item)
		}
	}
}
