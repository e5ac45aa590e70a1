package pattern_test

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dlclark/regexp2"
	"pgregory.net/rapid"

	"github.com/weftmesh/weft/actors/budget"
	"github.com/weftmesh/weft/actors/pattern"
)

// ecma generates patterns of ECMA-262 whose meaning does not depend on flags.
func ecma(depth int) *rapid.Generator[string] {
	leaf := rapid.SampledFrom([]string{"a", "b", "x", "é", "-", "_", " ", "7", ".", `\d`, `\D`, `\w`, `\W`, `\s`, `\S`, `\b`, `\B`, `\.`, `\/`, `\-`, `\n`, `\t`,
		`\x61`, `\u00e9`, "^", "$", "[abc]", "[^a]", "[a-c7]", `[\d_]`, `[\s\S]`, `[^\w]`, `[-a]`, `[a-]`, `[\b.]`, `[\]a]`, "[.$^]", "[é-ü]", "a{2}", "b{1,}", "x{0,2}"})
	if depth == 0 {
		return leaf
	}
	return rapid.Custom(func(t *rapid.T) string {
		one, other := ecma(depth-1).Draw(t, "one"), ecma(depth-1).Draw(t, "other")
		switch rapid.IntRange(0, 6).Draw(t, "form") {
		case 0:
			return "(" + one + ")"
		case 1:
			return "(?:" + one + "|" + other + ")"
		case 2:
			return "(?:" + one + ")" + rapid.SampledFrom([]string{"*", "+", "?", "*?", "+?", "{2}", "{1,3}"}).Draw(t, "quantifier")
		case 3:
			return one + "|" + other
		}
		return one + other
	})
}

// TestTranslatedPatternsMatchTheSameTexts compares with the backtracking matcher, and sees that most patterns do not need it.
func TestTranslatedPatternsMatchTheSameTexts(t *testing.T) {
	t.Parallel()
	total, linear := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		text := ecma(3).Draw(t, "pattern")
		slow, err := regexp2.Compile(pattern.ForRegexp2(text), regexp2.ECMAScript)
		p, gotErr := pattern.CompileECMA(text)
		if (err == nil) != (gotErr == nil) {
			t.Fatalf("%q compiles: %v, want %v", text, gotErr, err)
		}
		if err != nil {
			return
		}
		total++
		if p.IsLinear() {
			linear++
		}
		slow.MatchTimeout = time.Second
		for _, subject := range rapid.SliceOfN(rapid.StringOfN(rapid.SampledFrom([]rune("abx7é-_ .\n\r\u2028\ufeff/\tü]$^")), 0, 8, -1), 1, 6).Draw(t, "texts") {
			want, err := slow.MatchString(subject)
			got, gotErr := p.Match(subject, nil)
			if err == nil && (gotErr != nil || got != want) {
				t.Fatalf("%q matches %q: %v, %v, want %v", text, subject, got, gotErr, want)
			}
		}
	})
	if linear*10 < total*9 {
		t.Errorf("%d of %d patterns are linear", linear, total)
	}
}

// TestClassesAreThoseOfECMAScript: white space and line terminators are those of ECMA-262, and $ is the end of the text alone.
func TestClassesAreThoseOfECMAScript(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pattern, text string
		want          bool
	}{
		{`^\s$`, "\u00a0", true}, {`^\s$`, "\ufeff", true}, {`^\s$`, "\u2028", true}, {`^\S$`, "\u3000", false}, {`^\S$`, "é", true}, {`^.$`, "\u2028", false}, {`^.$`, "\r", false},
		{`^.$`, "😀", true}, {`a$`, "a\n", false}, {`^\d$`, "٣", false}, {`^\w$`, "é", false}, {`^\W$`, "é", true}, {`^\p{Lu}`, "É", true}, {`^[\s\S]*$`, "a\nb", true},
		{`^(?!x)`, "ab", true}, {`^(?!x)`, "xb", false}, {`(a)\1`, "aa", true}, {`\b`, "é", false}, {`\B`, "é", true},
		{`^(?!x)\b`, "é", false}, {`^(?!x)\B`, "é", true}, {`^(?!x)[\b]`, "\b", true}, {`^(?!x)\\b`, `\b`, true}, {`^(?!x)a\b`, "aé", true}, {`^(?!x)a\B`, "aé", false},
		{`^(?<year>\d{4})-\d\d$`, "2026-11", true}, {`^(?<year>\d{4})-\d\d$`, "2026-11-30", false},
	} {
		// With a lookahead it is backtracked.
		for _, text := range []string{test.pattern, "(?!☃)(?:" + test.pattern + ")"} {
			p, err := pattern.CompileECMA(text)
			if err != nil {
				t.Errorf("%s: %v", text, err)
				continue
			}
			if got, err := p.Match(test.text, nil); err != nil || got != test.want {
				t.Errorf("%s matches %q: %v, %v", text, test.text, got, err)
			}
		}
	}
}

// TestFindMatchesLikeTheLibrary: the matches of a search that begins within a text are those of FindAll, with what was before in view.
func TestFindMatchesLikeTheLibrary(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"a", "b+", `\ba`, "^a", "(?m)^.", "a|ab", "(a)(b)?", "a*", "x*", "b$", `\B`, "(?s).", "[^a]+"} {
		p, err := pattern.Compile(text)
		if err != nil {
			t.Fatal(err)
		}
		library := regexp.MustCompile(text)
		for _, subject := range []string{"", "a", "aab ab", "ba\nab", "éabé", "xxaxx", "abab"} {
			for from := range len(subject) + 1 {
				if from > 0 && strings.IndexByte("ab x\n", subject[from-1]) < 0 {
					continue // within a character
				}
				var want []int
				for _, found := range library.FindAllStringSubmatchIndex(subject, -1) {
					if found[0] >= from {
						want = found
						break
					}
				}
				got, err := p.Find(subject, from, nil)
				if err != nil || got != nil && want != nil && got[0] > want[0] || (got == nil) && want != nil {
					t.Errorf("%s in %q from %d: %v, %v, want %v", text, subject, from, got, err, want)
				}
				if got != nil && want != nil && got[0] == want[0] && !slices.Equal(got, want) && len(want) == len(got) && got[1] != want[1] && want[0] != want[1] {
					t.Errorf("%s in %q from %d: %v, want %v", text, subject, from, got, want)
				}
			}
		}
	}
}

func TestHostilePatternsAreRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		strings.Repeat("(", 200_000) + strings.Repeat(")", 200_000), strings.Repeat("(", 2_000) + strings.Repeat(")", 2_000), "((a{1000}){1000}){1000}", "(a{100}){101}", strings.Repeat("a{1000}", 500),
		strings.Repeat("(a|", 1_300) + "b" + strings.Repeat(")", 1_300), strings.Repeat("x", 5_000), "(", "[",
	} {
		if _, err := pattern.Compile(text); err == nil {
			t.Errorf("%.50q… compiles", text)
		}
		started := time.Now()
		if p, err := pattern.CompileECMA(text); err == nil {
			_, _ = p.Match(strings.Repeat("a", 1000), budget.New(budget.Limits{Time: 100 * time.Millisecond}))
		}
		if took := time.Since(started); took > 5*time.Second {
			t.Errorf("%.50q… takes %s", text, took)
		}
	}
}

func TestMatchesTakeSteps(t *testing.T) {
	t.Parallel()
	p, err := pattern.Compile("(lorem|ipsum|dolor|sit|amet|a|b|c|d)+x")
	if err != nil {
		t.Fatal(err)
	}
	b := budget.New(budget.Limits{Steps: 100_000})
	if _, err := p.Match(strings.Repeat("lorem", 200_000), b); !errors.Is(err, budget.ErrSteps) {
		t.Errorf("a megabyte: %v", err)
	}
	b = budget.New(budget.Limits{Steps: 100_000})
	quadratic, _ := pattern.Compile("(?:[^!]*!|a)?")
	text := strings.Repeat("a", 10_000)
	for from := 0; ; {
		found, err := quadratic.Find(text, from, b)
		if errors.Is(err, budget.ErrSteps) {
			break
		}
		if err != nil || found == nil {
			t.Fatalf("%v, %v from %d: the search reads to the end each time", found, err, from)
		}
		from = max(found[1], from+1)
	}
	slow, err := pattern.CompileECMA(`^(x+x+)+(?=y)`)
	if err != nil {
		t.Fatal(err)
	}
	if matched, err := slow.Match(strings.Repeat("x", 60), budget.New(budget.Limits{Time: 50 * time.Millisecond})); !errors.Is(err, budget.ErrTime) || matched {
		t.Errorf("a match without end: %v, %v", matched, err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	var c pattern.Cache
	first, known, err := c.Get("a+")
	if err != nil || known {
		t.Fatalf("%v, %v", known, err)
	}
	if again, known, _ := c.Get("a+"); !known || again != first {
		t.Error("a pattern is compiled twice")
	}
	if _, _, err := c.Get("("); err == nil {
		t.Error("a faulty pattern compiles")
	}
	if _, known, err := c.Get("("); err == nil || !known {
		t.Error("what is wrong with a pattern is forgotten")
	}
	for i := range 1000 {
		_, _, _ = c.Get(strings.Repeat("b", i+1))
	}
	if _, known, _ := c.Get("a+"); known {
		t.Error("the cache keeps a thousand patterns")
	}
}
