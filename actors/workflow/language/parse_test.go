package language

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

const head = "document: {dsl: 1.0.3, namespace: test, name: sample, version: 0.1.0}\n"

func TestParseFaults(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		source string
		want   []string // line:column pointer code
	}{
		"empty":                    {"", []string{"1:1  syntax"}},
		"not an object":            {"- a\n", []string{"1:1  type"}},
		"broken":                   {"a: b\n c: [\n", []string{"2:1  syntax"}},
		"two documents":            {head + "do: [{a: {wait: PT1S}}]\n---\na: 1\n", []string{"1:1  syntax"}},
		"nothing":                  {"{}", []string{"1:1  missing", "1:1  missing"}},
		"misspelt field":           {head + "do: [{a: {wait: PT1S}}]\nschedul: {}\n", []string{"3:1 /schedul unknown_field"}},
		"unknown in task":          {head + "do:\n- a:\n    wait: PT1S\n    retries: 3\n", []string{"5:5 /do/0/a/retries unknown_field"}},
		"duplicate key":            {head + "do:\n- a:\n    set: {x: 1, x: 2}\n", []string{"4:17 /do/0/a/set/x duplicate"}},
		"two kinds":                {head + "do: [{a: {wait: PT1S, set: {b: 1}}}]\n", []string{"2:10 /do/0/a value", "2:11 /do/0/a/wait unknown_field"}},
		"no kind":                  {head + "do: [{a: {if: .x}}]\n", []string{"2:10 /do/0/a missing"}},
		"two names":                {head + "do: [{a: {wait: PT1S}, b: {wait: PT1S}}]\n", []string{"2:6 /do/0 type"}},
		"no tasks":                 {head + "do: []\n", []string{"2:5 /do value"}},
		"bad duration":             {head + "do: [{a: {wait: 30s}}]\n", []string{"2:17 /do/0/a/wait value"}},
		"bad unit":                 {head + "do: [{a: {wait: {weeks: 1}}}]\n", []string{"2:17 /do/0/a/wait value"}},
		"bad expression":           {head + "do: [{a: {set: {x: '${ .a + }'}}}]\n", []string{"2:20 /do/0/a/set/x expression"}},
		"forbidden":                {head + "do: [{a: {if: env.HOME, set: {x: 1}}}]\n", []string{"2:15 /do/0/a/if expression"}},
		"unknown variable":         {head + "do: [{a: {if: $item == $itme, for: {in: .x}, do: []}}]\n", []string{"2:15 /do/0/a/if expression"}},
		"unknown function":         {head + "do: [{a: {set: {x: '${ .a | lenght }'}}}]\n", []string{"2:20 /do/0/a/set/x expression"}},
		"unknown target":           {head + "do: [{a: {wait: PT1S, then: b}}]\n", []string{"2:29 /do/0/a/then reference"}},
		"unknown target of a case": {head + "do: [{a: {switch: [{c: {then: b}}]}}]\n", []string{"2:31 /do/0/a/switch/0/c/then reference"}},
		"unknown retry policy":     {head + "do: [{a: {try: [{b: {wait: PT1S}}], catch: {retry: r}}}]\n", []string{"2:52 /do/0/a/catch/retry reference"}},
		"unknown error":            {head + "do: [{a: {raise: {error: e}}}]\n", []string{"2:26 /do/0/a/raise/error reference"}},
		"unknown timeout":          {head + "do: [{a: {wait: PT1S, timeout: t}}]\n", []string{"2:32 /do/0/a/timeout reference"}},
		"shadowed variable":        {head + "do: [{a: {for: {each: input, in: .x}, do: []}}]\n", []string{"2:23 /do/0/a/for/each value"}},
		"http without with":        {head + "do: [{a: {call: http}}]\n", []string{"2:10 /do/0/a missing"}},
		"http method":              {head + "do: [{a: {call: http, with: {endpoint: 'https://x'}}}]\n", []string{"2:29 /do/0/a/with missing"}},
		"two policies":             {head + "do: [{a: {call: http, with: {method: get, endpoint: {uri: 'https://x', authentication: {basic: {username: a, password: b}, bearer: {token: t}}}}}}]\n", []string{"2:132 /do/0/a/with/endpoint/authentication/bearer value"}},
		"bad schema":               {head + "input: {schema: {document: {type: 7}}}\ndo: [{a: {wait: PT1S}}]\n", []string{"2:28 /input/schema/document value"}},
		"remote schema":            {head + "input: {schema: {document: {$ref: 'https://x/y'}}}\ndo: [{a: {wait: PT1S}}]\n", []string{"2:28 /input/schema/document value"}},
		"recursive":                {head + "use: {functions: {f: {call: g}, g: {call: f}}}\ndo: [{a: {call: f}}]\n", []string{"2:22 /use/functions/f reference", "2:36 /use/functions/g reference"}},
		"tag":                      {head + "do: [{a: {set: {x: !!binary aGk=}}}]\n", []string{"2:20 /do/0/a/set/x type"}},
		"merge key of a text":      {head + "do: [{a: {<<: x, wait: PT1S}}]\n", []string{"2:11 /do/0/a/<< unknown_field"}},
		"infinity":                 {head + "do: [{a: {set: {x: .inf}}}]\n", []string{"2:20 /do/0/a/set/x type"}},
		"old version":              {strings.Replace(head, "1.0.3", "0.8.0", 1) + "do: [{a: {wait: PT1S}}]\n", []string{"1:17 /document/dsl value"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, faults := Parse([]byte(test.source))
			var got []string
			for _, fault := range faults {
				got = append(got, strconv.Itoa(fault.Line)+":"+strconv.Itoa(fault.Column)+" "+fault.Pointer+" "+fault.Code)
			}
			if strings.Join(got, "\n") != strings.Join(test.want, "\n") || w != nil {
				t.Errorf("got %q, want %q (%v)", got, test.want, faults)
			}
		})
	}
}

func TestParseBounds(t *testing.T) {
	t.Parallel()
	bomb := head + "x0: &x0 [1,1,1,1,1,1,1,1,1,1]\n"
	for i := range 8 {
		bomb += "x" + strconv.Itoa(i+1) + ": &x" + strconv.Itoa(i+1) + " [" + strings.Repeat("*x"+strconv.Itoa(i)+",", 10) + "]\n"
	}
	tasks := head + "do:\n" + strings.Repeat("- a: {wait: PT1S}\n", MaxTasks+1)
	for name, source := range map[string]string{
		"aliases": bomb, "large": strings.Repeat("#", MaxSource+1), "deep": head + "do: " + strings.Repeat("[", 200) + strings.Repeat("]", 200),
		"cycle": head + "do: &a [{x: {do: *a}}]\n", "tasks": tasks,
	} {
		_, faults := Parse([]byte(source))
		found := false
		for _, fault := range faults {
			found = found || fault.Code == CodeTooLarge
		}
		if !found {
			t.Errorf("%s: not rejected as too large: %.200v", name, faults)
		}
	}
}

// TestParseYAML12 parses scalars that YAML 1.1 resolves as booleans, octal numbers, sexagesimal numbers and dates.
func TestParseYAML12(t *testing.T) {
	t.Parallel()
	w, faults := Parse([]byte(head + "do:\n- a:\n    set: {on: yes, off: no, n: 010, o: 0o10, h: 0xff, d: 2026-11-01, t: 1:30, f: 1.5, e: 1e3, u: 1_000, z: ~, big: 12345678901234567890, s: !!str 5, q: '5'}\n"))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	want := `{"big":12345678901234567890,"d":"2026-11-01","e":1000,"f":1.5,"h":255,"n":10,"o":8,"off":"no","on":"yes","q":"5","s":"5","t":"1:30","u":"1_000","z":null}`
	if got := string(Canonical(w.Do[0].Set)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDigest(t *testing.T) {
	t.Parallel()
	digest := func(source string) string {
		w, faults := Parse([]byte(source))
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		return w.Digest
	}
	yaml := digest(head + "# a comment\ndo:\n- a:\n    set:\n      x: 1\n")
	json := digest(`{"do":[{"a":{"set":{"x":1}}}],"document":{"version":"0.1.0","name":"sample","namespace":"test","dsl":"1.0.3"}}`)
	if yaml != json {
		t.Errorf("the digests of YAML and JSON differ: %s, %s", yaml, json)
	}
	if other := digest(head + "do: [{a: {set: {x: 2}}}]\n"); other == yaml {
		t.Error("a different definition has the same digest")
	}
}

func TestUnsupported(t *testing.T) {
	t.Parallel()
	w, faults := Parse([]byte(head + "do:\n- a:\n    run: {shell: {command: ls}}\n- b:\n    call: grpc\n    with: {proto: {endpoint: 'file://x'}, service: {name: s, host: h}, method: m}\n- c:\n    wait: PT1S\n"))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	refused := w.Unsupported()
	if len(refused) != 2 || refused[0].Pointer != "/do/0/a/run/shell" || refused[1].Pointer != "/do/1/b" || refused[1].Line != 6 {
		t.Errorf("got %v", refused)
	}
}

func TestParseDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"PT30S": 30 * time.Second, "P1DT12H": 36 * time.Hour, "P1W": 168 * time.Hour,
		"PT0.5S": 500 * time.Millisecond, "P1M": 720 * time.Hour, "PT1M": time.Minute, "PT0S": 0} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%s = %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "P", "PT", "P1", "1D", "PT1", "P1DT", "-PT1S", "P99Y", "pt1s"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q was parsed as %s", text, got)
		}
	}
}

// FuzzParse: Parse never panics, every fault has a position, and the canonical form of an accepted definition has the
// same digest.
func FuzzParse(f *testing.F) {
	f.Add(head + "do: [{a: {set: {x: '${ .a }'}}}]\n")
	f.Add(head + "do: &a [{x: {do: *a}}]\n")
	f.Add(head + "use: {retries: {r: {delay: {seconds: 1}, backoff: {exponential: {}}}}}\ndo: [{a: {try: [{b: {call: x.y}}], catch: {retry: r}}}]\n")
	f.Add("{\"document\": null, \"do\": [[]]}")
	f.Add("? [a]\n: b\n")
	f.Fuzz(func(t *testing.T, source string) {
		w, faults := Parse([]byte(source))
		if (w == nil) != (len(faults) > 0) {
			t.Fatalf("Parse returned both or neither of a workflow and faults: %v", faults)
		}
		for _, fault := range faults {
			if fault.Line < 1 || fault.Column < 1 || fault.Code == "" || fault.Message == "" {
				t.Fatalf("a fault without a position: %+v", fault)
			}
		}
		if w == nil {
			return
		}
		again, faults := Parse(w.Canonical)
		if len(faults) > 0 || again.Digest != w.Digest {
			t.Fatalf("the canonical form parses differently: %v\n%s", faults, w.Canonical)
		}
	})
}
