package template_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/language"

	"github.com/weftmesh/weft/actors/budget"
	"github.com/weftmesh/weft/actors/notification/template"
)

// render renders one source with data.
func render(t *testing.T, o template.Options, source, data string) (string, error) {
	t.Helper()
	parsed, err := template.Parse(source, o)
	if err != nil {
		return "", err
	}
	e := env(t, data)
	e.Locale = o.Locale
	return parsed.Render(e)
}

// TestRefusals: what is not in the subset is refused where it is, and says what to write instead.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"{{{{raw}}}}x{{{{/raw}}}}":            "1:1 raw blocks are not supported",
		"a\n{{#> layout}}x{{/layout}}":        "2:1 partial blocks are not supported",
		"{{#*inline \"x\"}}{{/inline}}":       "1:1 inline partials and decorators",
		"{{* decorator}}":                     "1:1 decorators are not supported",
		"{{#items}}x{{/items}}":               `1:4 unknown block "items"`,
		"{{^items}}x{{/items}}":               "1:1 inverted sections",
		"{{#if a}}x{{^}}y{{/if}}":             "1:11 inverted sections",
		"{{#each items as |item|}}x{{/each}}": "1:15 block parameters are not supported",
		"{{#each items}}x":                    "1:1 the block each is not closed",
		"{{#if a}}x{{/each}}":                 `1:11 if is closed by "each"`,
		"x{{/if}}":                            "1:2 there is no block",
		"{{else}}":                            "1:1 there is no block",
		"{{#if a}}{{else}}{{else}}{{/if}}":    "1:18 the block has an {{else}} already",
		"{{#if a}}{{else each b}}{{/if}}":     "1:17 only if may follow else",
		"{{#if a b}}{{/if}}":                  "1:4 if takes one argument",
		"{{#if}}{{/if}}":                      "1:4 if takes one argument",
		"{{#if a x=1}}{{/if}}":                "1:11 if has no option x",
		"{{#if a includeZero=b}}{{/if}}":      "1:21 if has no option includeZero",
		"{{lookup a b}}":                      `1:3 unknown helper "lookup"`,
		"{{log a}}":                           `1:3 unknown helper "log"`,
		"{{#if (lookup a b)}}{{/if}}":         `1:8 unknown helper "lookup"`,
		"{{a.b c}}":                           `1:3 unknown helper "a.b"`,
		"{{date}}":                            "1:3 the helper date takes arguments; this.date is the variable",
		"{{if}}":                              "1:3 if is a block",
		"{{eq a}}":                            "1:3 eq takes two arguments",
		"{{upper a b}}":                       "1:3 upper takes one argument",
		"{{upper a x=1}}":                     "1:13 upper has no option x",
		"{{number a decimals=99}}":            "1:21 decimals is a constant from 0 to 10",
		"{{truncate a b}}":                    "1:14 truncate takes a number of characters",
		"{{currency a \"EURO\"}}":             `1:14 "EURO" is not a currency`,
		"{{plural a one=\"x\"}}":              "1:3 plural needs the form other",
		"{{date a format=b}}":                 "1:17 format is a constant text",
		"{{date a format=\"DD.MM.\"}}":        "1:17 DD.MM. is no format of a date",
		"{{date a format=\"yyyy 'x\"}}":       "1:17 the pattern has a quote that is not closed",
		"{{a/b}}":                             "1:4 names in a path are separated by dots",
		"{{a.this}}":                          "1:5 invalid path",
		"{{a..b}}":                            `1:5 expected a name, found '.'`,
		"{{../a}}":                            "1:3 ../a leads out of the template",
		"{{#each a}}{{../../b}}{{/each}}":     "1:14 ../../b leads out of the template",
		"{{@index}}":                          "1:3 @index is in 0 blocks each",
		"{{#each a}}{{@../index}}{{/each}}":   "1:14 @../index is in 1 blocks each",
		"{{@level}}":                          "1:3 unknown variable @level",
		"{{@root}}{{@first.x}}":               "1:12 unknown variable @first.x",
		"{{\"a\"}}":                           "1:3 expected a variable or a helper",
		"{{12}}":                              "1:3 expected a variable or a helper, found a number",
		"{{true}}":                            "1:3 expected a variable or a helper, found true",
		"{{(upper a)}}":                       "1:3 expected a variable or a helper",
		"{{upper (lower a}}":                  "1:17 expected ), found '}'",
		"{{upper a":                           "1:10 the tag is not closed",
		"{{upper \"a}}":                       "1:9 the text is not closed",
		"{{a.[b}}":                            "1:5 the name is not closed",
		"{{}}":                                "1:3 expected a name, found '}'",
		"{{a}}}":                              "1:4 expected }}, found }}}",
		"{{{a}}":                              "1:6 expected }}",
		"{{! never":                           "1:1 the comment is not closed",
		"{{!-- never }}":                      "1:1 the comment is not closed",
		"{{> (choose)}}":                      "1:5 the name of a partial is a constant",
		"{{> @partial-block}}":                `1:5 "@partial-block" is not the name of a template`,
		"{{> a b c}}":                         "1:9 a partial takes one context",
		"{{> a x=1 x=2}}":                     "1:11 x is given twice",
		"{{> a x=1 b}}":                       "1:11 named arguments come last",
		"äöü\nß {{" + strings.Repeat("(", 3) + "a}}": "2:5 expected a variable or a helper, found '('",
		"\xff":  "1:1 the source is not UTF-8",
		"a\x00": "1:1 the source is not UTF-8",
	} {
		_, err := template.Parse(source, template.Options{Part: template.HTML, Kind: template.Message, Locale: language.English})
		var refusal *template.Error
		if !errors.As(err, &refusal) {
			t.Errorf("%q is accepted", source)
			continue
		}
		if got := fmt.Sprintf("%d:%d %s", refusal.Line, refusal.Column, refusal.Message); !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s, want %s", source, got, want)
		}
	}
	for part, source := range map[string]string{template.Text: "{{{a}}}", template.Subject: "{{&a}}"} {
		if _, err := template.Parse(source, template.Options{Part: part, Kind: template.Message}); err == nil {
			t.Errorf("%s: %q is accepted", part, source)
		}
	}
	if _, err := template.Parse("{{body}}", template.Options{Part: template.HTML, Kind: template.Layout}); err == nil {
		t.Errorf("the body of an html layout may be escaped")
	}
	if _, err := template.Parse("{{date a format=\"long\"}}", template.Options{Part: template.Text, Kind: template.Message, Locale: language.French}); err == nil {
		t.Errorf("names of months are written in French")
	}
}

// TestHelpers runs each helper in English and German.
func TestHelpers(t *testing.T) {
	t.Parallel()
	const data = `{"n": 1234567.891, "big": 9007199254740993, "one": 1, "zero": 0, "text": "straße", "empty": "", "none": null, "list": [1, [2, "x"], null, true],
		"o": {"b": "<1>", "a": [1.0, null], "1": false}, "at": "2026-03-29T00:30:00Z", "day": "2026-01-05", "unix": 1774744200, "quoted": "a \"b\" & c"}`
	for source, want := range map[string][2]string{
		`{{number n}} {{number n decimals=2}} {{number "12.5"}} {{number none}}`:                                                {"1,234,567.891 1,234,567.89 12.5 ", "1.234.567,891 1.234.567,89 12,5 "},
		`{{currency n "EUR"}} {{currency -0.5 "CHF"}} {{currency 3 "JPY"}}`:                                                     {"€1,234,567.89 -CHF\u00a00.50 ¥3", "1.234.567,89\u00a0€ -0,50\u00a0CHF 3\u00a0¥"},
		`{{currency -0.001 "EUR"}} {{number -0}}`:                                                                               {"€0.00 0", "0,00\u00a0€ 0"},
		`{{plural one one="# day" other="# days"}} {{plural n one="x" other="#"}}`:                                              {"1 day 1,234,567.891", "1 day 1.234.567,891"},
		`{{plural 1.5 one="x" other="y"}} {{plural zero one="x" other="y"}}`:                                                    {"y y", "y y"},
		`{{date at}} {{date at format="datetime" zone="Europe/Berlin"}}`:                                                        {"March 29, 2026 March 29, 2026, 1:30 AM", "29. März 2026 29. März 2026, 01:30 Uhr"},
		`{{date at format="datetime" zone="America/New_York"}}`:                                                                 {"March 28, 2026, 8:30 PM", "28. März 2026, 20:30 Uhr"},
		`{{date unix format="iso" zone="Europe/Berlin"}} {{date day format="full"}}`:                                            {"2026-03-29T01:30:00+01:00 Monday, January 5, 2026", "2026-03-29T01:30:00+01:00 Montag, 5. Januar 2026"},
		`{{date day format="EEE d MMM yy 'o''clock' H"}} {{date none}}`:                                                         {"Mon 5 Jan 26 oclock 0 ", "Mo 5 Jan. 26 oclock 0 "},
		`{{date day format="short"}} {{date at format="time"}}`:                                                                 {"Jan 5, 2026 12:30 AM", "05.01.2026 00:30"},
		`{{upper text}} {{lower "ÄÖ"}} {{capitalize "élan vital"}} {{upper one}}`:                                               {"STRASSE äö Élan vital 1", "STRASSE äö Élan vital 1"},
		`{{truncate text 4}}|{{truncate text 6}}|{{truncate "a b c" 3}}|`:                                                       {"str…|straße|a…|", "str…|straße|a…|"},
		`{{url-encode quoted}} {{url-encode "ä/?+~'()*!"}}`:                                                                     {"a%20%22b%22%20%26%20c %C3%A4%2F%3F%2B~'()*!", "a%20%22b%22%20%26%20c %C3%A4%2F%3F%2B~'()*!"},
		`{{json o}} {{json missing}} {{json list}}`:                                                                             {`{"1":false,"b":"<1>","a":[1,null]} null [1,[2,"x"],null,true]`, `{"1":false,"b":"<1>","a":[1,null]} null [1,[2,"x"],null,true]`},
		`{{default missing "x"}}{{default empty "y"}}{{default none zero}}{{default zero 5}}`:                                   {"xy00", "xy00"},
		`{{eq one 1}} {{eq one "1"}} {{eq none missing}} {{ne text "straße"}} {{eq 1.0 1}} {{eq o o}}`:                          {"true false true false true true", "true false true false true true"},
		`{{gt n 5}} {{lt one 1}} {{gt "b" "a"}} {{lt missing 1}}`:                                                               {"true false true false", "true false true false"},
		`{{and one text}} {{and zero text}} {{or empty text}} {{or zero none}}| {{not none}}`:                                   {"straße 0 straße | true", "straße 0 straße | true"},
		`{{list}} {{big}} {{list.length}} {{text.length}} {{list.[1].[1]}} {{o.[a].[0]}}`:                                       {"1,2,x,,true 9007199254740993 4 6 x 1", "1,2,x,,true 9007199254740993 4 6 x 1"},
		`{{#if (and (gt one 0) (not zero))}}a{{else if zero}}b{{else}}c{{/if}}{{#if zero includeZero=true}}d{{/if}}`:            {"ad", "ad"},
		`{{#each o}}{{@key}}{{#unless @last}},{{/unless}}{{/each}}{{#each empty}}x{{else}}-{{/each}}`:                           {"1,b,a-", "1,b,a-"},
		`{{#each list}}{{#each ../list}}{{@../index}}{{@index}}{{#if @first}}!{{/if}} {{/each}}{{/each}}`:                       {"00! 01 02 03 10! 11 12 13 20! 21 22 23 30! 31 32 33 ", "00! 01 02 03 10! 11 12 13 20! 21 22 23 30! 31 32 33 "},
		`{{#with o}}{{b}}{{../one}}{{@root.one}}{{/with}}{{#with none}}x{{else}}{{this.one}}{{/with}} \{{one}} {{!-- c }} --}}`: {"<1>111 {{one}} ", "<1>111 {{one}} "},
	} {
		for i, locale := range []language.Tag{language.English, language.German} {
			got, err := render(t, template.Options{Part: template.Text, Kind: template.Message, Locale: locale}, source, data)
			if err != nil || got != want[i] {
				t.Errorf("%s: %q in %s: %q, %v", source, want[i], locale, got, err)
			}
		}
	}
	html, err := render(t, template.Options{Part: template.HTML, Kind: template.Message}, "{{quoted}} {{{quoted}}} {{&o.b}} {{json o.b}}", data)
	if want := `a &quot;b&quot; &amp; c a "b" & c <1> &quot;&lt;1&gt;&quot;`; err != nil || html != want {
		t.Errorf("html: %q, %v", html, err)
	}
	subject, err := render(t, template.Options{Part: template.Subject, Kind: template.Message}, "\n a\r\n{{x}} ", `{"x": "b\r\nBcc: c\rd"}`)
	if err != nil || subject != "a b Bcc: c d" {
		t.Errorf("subject: %q, %v", subject, err)
	}
}

// TestRenderErrors: a value of the wrong kind is an error with its place, not a wrong text.
func TestRenderErrors(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"a\n {{o}}":                       "2:2 the value is an object",
		"{{upper o}}":                     "1:3 the value is an object",
		"{{number \"x\"}}":                "1:3 number takes a number",
		"{{number \"Infinity\"}}":         "1:3 number takes a number",
		"{{number \"0x10\"}}":             "1:3 number takes a number",
		"{{number 90071992547409930}}":    "1:3 number takes numbers up to 2^53",
		"{{currency 1 o}}":                "1:3 the second argument of currency",
		"{{plural o other=\"x\"}}":        "1:3 plural takes a number",
		"{{date \"yesterday\"}}":          "1:3 date takes a time",
		"{{date 0 zone=\"Mars/Phobos\"}}": "1:3 zone is not an IANA time zone",
		"{{date 0 zone=1}}":               "1:3 zone is the name of a time zone",
		"{{#if (gt 1 \"a\")}}{{/if}}":     "1:8 gt and lt compare",
	} {
		_, err := render(t, template.Options{Part: template.Text, Kind: template.Message, Locale: language.English}, source, `{"o": {"a": 1}}`)
		var failed *template.Error
		if !errors.As(err, &failed) {
			t.Errorf("%q renders", source)
			continue
		}
		if got := fmt.Sprintf("%d:%d %s", failed.Line, failed.Column, failed.Message); !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s, want %s", source, got, want)
		}
	}
}

// TestHostileTemplates end at a bound, within a second.
func TestHostileTemplates(t *testing.T) {
	t.Parallel()
	list := "[" + strings.TrimSuffix(strings.Repeat("1,", 2000), ",") + "]"
	long := `"` + strings.Repeat("x", 50_000) + `"`
	nested := func(open, inner, end string, n int) string {
		return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
	}
	for name, test := range map[string]struct{ source, data, want string }{
		"each over each":     {nested("{{#each @root.l}}", "", "{{/each}}", 8), `{"l": ` + list + `}`, "too many steps"},
		"large output":       {"{{#each l}}{{@root.t}}{{/each}}", `{"l": ` + list + `, "t": ` + long + `}`, "too many bytes"},
		"reading large text": {"{{#each l}}{{#if (eq (upper @root.t) 1)}}{{/if}}{{/each}}", `{"l": ` + list + `, "t": ` + long + `}`, "too many steps"},
		"text of a list":     {"{{#each l}}{{#each @root.l}}{{#if (eq (upper @root.t) 1)}}{{/if}}{{/each}}{{/each}}", `{"l": ` + list + `, "t": [` + long + `]}`, "too many steps"},
		"large number":       {"{{#each l}}{{#each @root.l}}{{#if (gt @root.n 1)}}{{/if}}{{/each}}{{/each}}", `{"l": ` + list + `, "n": ` + strings.Repeat("7", 50_000) + `}`, "too many steps"},
		"length of a text":   {"{{#each l}}{{#each @root.l}}{{#if @root.t.length}}{{/if}}{{/each}}{{/each}}", `{"l": ` + list + `, "t": ` + long + `}`, "too many steps"},
		"json of all":        {"{{#each l}}{{#if (eq (json @root) 1)}}{{/if}}{{/each}}", `{"l": ` + list + `}`, "too many steps"},
		"deep blocks":        {nested("{{#if a}}", "x", "{{/if}}", 4000), `{}`, "nested more than 32 deep"},
		"deep else":          {"{{#if a}}" + strings.Repeat("{{else if a}}", 4000) + "{{/if}}", `{}`, "nested more than 32 deep"},
		"deep parentheses":   {"{{upper " + nested("(upper ", "a", ")", 5000) + "}}", `{}`, "nested more than 32 deep"},
		"many elements":      {strings.Repeat("{{a}}", 9000), `{}`, "more than 8192 elements"},
		"long path":          {"{{a" + strings.Repeat(".a", 20_000) + "}}", `{}`, "more than 8192 elements"},
		"this of this":       {"{{" + strings.Repeat("this.", 10_000) + "a}}", `{}`, "more than 8192 elements"},
		"up and up":          {"{{" + strings.Repeat("../", 10_000) + "a}}", `{}`, "leads out of the template"},
		"indented partial":   {"{{#each l}}\n" + strings.Repeat(" ", 60_000) + "{{> lines}}\n{{/each}}", `{"l": ` + list + `}`, "too many bytes"},
	} {
		started := time.Now()
		_, err := func() (string, error) {
			parsed, err := template.Parse(test.source, template.Options{Part: template.Text, Kind: template.Message})
			if err != nil {
				return "", err
			}
			e := env(t, test.data)
			e.Partial = func(string) (*template.Template, error) {
				return template.Parse(strings.Repeat("\n", 60_000), template.Options{Part: template.Text, Kind: template.Partial})
			}
			return parsed.Render(e)
		}()
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
		if took := time.Since(started); took > time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
}

// TestPartialsAreBounded: recursion, also through a chain, and a chain that is too long.
func TestPartialsAreBounded(t *testing.T) {
	t.Parallel()
	partials := map[string]string{"a": "{{> b}}", "b": "{{> c}}", "c": "{{> a}}", "d": "{{> nobody}}"}
	for i := range 20 {
		partials[fmt.Sprint("deep.", i)] = fmt.Sprintf("{{> deep.%d}}", i+1)
	}
	find := func(name, kind string) (*template.Set, error) {
		if partials[name] == "" {
			return nil, fmt.Errorf("there is no %s %q", kind, name)
		}
		return template.Compile(template.Sources{Name: name, Kind: kind, Text: partials[name]})
	}
	for source, want := range map[string]string{
		"{{> a}}":      `template "c", text, line 1, column 1: the partial a uses itself`,
		"\n {{> d}}":   `template "d", text, line 1, column 1: there is no partial "nobody"`,
		"{{> deep.0}}": "nested more than 8 deep",
	} {
		set, err := template.Compile(template.Sources{Name: "main", Kind: template.Message, Text: source})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := set.Render(env(t, `{}`), find, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", source, err, want)
		}
	}
}

// TestSets: layout, text made of HTML, strict mode, and the variables that are missing.
func TestSets(t *testing.T) {
	t.Parallel()
	find := func(name, kind string) (*template.Set, error) {
		return template.Compile(template.Sources{Name: name, Kind: kind, HTML: "<body>{{{body}}}<hr>{{app}}</body>", Strict: true})
	}
	set, err := template.Compile(template.Sources{
		Name: "main", Kind: template.Message, Subject: "{{a}}", HTML: "<p>{{a}} {{b.c}} {{#if d}}x{{/if}} {{default e 1}}</p>", Layout: "frame", Strict: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	out, missing, err := set.Render(env(t, `{"a": "<1>", "app": "weft", "b": {"c": 2}}`), find, true)
	if err != nil || len(missing) != 0 || out.HTML != "<body><p>&lt;1&gt; 2  1</p><hr>weft</body>" || out.Text != "<1> 2 1\n\nweft" || out.Subject != "<1>" {
		t.Errorf("%+v, %v, %v", out, missing, err)
	}
	out, missing, err = set.Render(env(t, `{"a": null, "b": {}}`), find, false)
	if err == nil || err.Error() != `template "main", html, line 1, column 12: the variable b.c is missing` || len(missing) != 2 || out.HTML != "" || missing[1].Template != "frame" {
		t.Errorf("strict: %+v, %+v, %v", out, missing, err)
	}
}

func TestPlainText(t *testing.T) {
	t.Parallel()
	for document, want := range map[string]string{
		"":                          "",
		"a  b\n c":                  "a b c",
		"<p>a<b>b</b> <i>c</i></p>": "ab c",
		"<html><head><title>t</title><style>p{}</style></head><body><h1>Hi</h1><p>a<br>b</p><p>c &lt; d</p></body></html>": "Hi\n\na\nb\n\nc < d",
		"<ul><li>a</li><li>b</li></ul>x":                                  "- a\n- b\n\nx",
		`<a href="https://x.example/?a=1&amp;b=2">click here</a>.`:        "click here (https://x.example/?a=1&b=2).",
		`<a href="https://x.example">https://x.example</a>`:               "https://x.example",
		`<a href="mailto:a@example.com">a@example.com</a>`:                "a@example.com",
		`<img alt="logo" src="x"><script>alert(1)</script>y`:              "logoy",
		"<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>": "a b\nc",
		"<div>a</div><div>b</div><hr>c":                                   "a\nb\n\nc",
		"<p>unclosed <b>x":                                                "unclosed x",
		"<b>voilà</b>! <i>их</i>. à<u>Å</u>":                              "voilà! их. àÅ",
		"<html><head><title>t</title><body>no end of the head":            "no end of the head",
	} {
		if got := template.PlainText(document); got != want {
			t.Errorf("%q: %q, want %q", document, got, want)
		}
	}
}

// BenchmarkRender renders a mail with a loop of twenty items.
func BenchmarkRender(b *testing.B) {
	source := "Dear {{user.name}},\n{{#each items}}\n- {{name}}: {{currency price \"EUR\"}}{{#if @last}}.{{/if}}\n{{/each}}\n"
	parsed, err := template.Parse(source, template.Options{Part: template.HTML, Kind: template.Message, Locale: language.German})
	if err != nil {
		b.Fatal(err)
	}
	root, err := template.Decode([]byte(`{"user": {"name": "Ada"}, "items": [` + strings.TrimSuffix(strings.Repeat(`{"name": "x & y", "price": 12.5},`, 20), ",") + `]}`))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := parsed.Render(template.Env{Data: root.(*template.Object), Budget: budget.New(budget.Limits{Steps: 1e6, Bytes: 1e6})}); err != nil {
			b.Fatal(err)
		}
	}
}
