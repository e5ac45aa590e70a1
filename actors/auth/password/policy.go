package password

import (
	"bufio"
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/weftmesh/weft/subjects"
)

// commonPasswords lists the words and passwords most frequent in breaches, in lower case, one per line, gzipped.
//
//go:embed common_passwords.txt.gz
var commonPasswords []byte

// breachedPasswords lists the passwords of eight characters and more that are most frequent in breaches, in lower case,
// sorted, one per line after a line that names the source, gzipped. scripts/passwords.sh makes the file.
//
//go:embed breached_passwords.txt.gz
var breachedPasswords []byte

// Breached returns the set of breachedPasswords, unpacked at the first call.
var Breached = sync.OnceValues(func() (map[string]bool, error) {
	packed, err := gzip.NewReader(bytes.NewReader(breachedPasswords))
	if err != nil {
		return nil, fmt.Errorf("reading breached passwords: %w", err)
	}
	text, err := io.ReadAll(packed)
	if err != nil {
		return nil, fmt.Errorf("reading breached passwords: %w", err)
	}
	_, list, _ := strings.Cut(string(text), "\n")
	known := make(map[string]bool, strings.Count(list, "\n"))
	for line := range strings.Lines(list) {
		known[strings.TrimSuffix(line, "\n")] = true
	}
	return known, nil
})

// Policy is the rule for new passwords (OWASP ASVS 5.0, 6.2): length and blocklists, without composition rules.
type Policy struct {
	min, max int
	common   map[string]bool
}

// NewPolicy returns a policy with the embedded blocklist and that of file, if not empty. least and most bound
// the length in characters.
func NewPolicy(least, most int, file string) (*Policy, error) {
	p := &Policy{min: least, max: most, common: map[string]bool{}}
	list, err := gzip.NewReader(bytes.NewReader(commonPasswords))
	if err != nil {
		return nil, fmt.Errorf("reading common passwords: %w", err)
	}
	if err := p.add(bufio.NewScanner(list)); err != nil {
		return nil, fmt.Errorf("reading common passwords: %w", err)
	}
	if file == "" {
		return p, nil
	}
	own, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("reading the password blocklist: %w", err)
	}
	defer own.Close()
	if err := p.add(bufio.NewScanner(own)); err != nil {
		return nil, fmt.Errorf("reading the password blocklist: %w", err)
	}
	return p, nil
}

func (p *Policy) add(lines *bufio.Scanner) error {
	for lines.Scan() {
		if line := strings.ToLower(strings.TrimSpace(lines.Text())); line != "" {
			p.common[line] = true
		}
	}
	return lines.Err()
}

// Check returns CodeInvalid if the account may not use the password. own are the words of the account's address and names.
func (p *Policy) Check(password string, own []string) error {
	const field = "password"
	known, err := Breached()
	if err != nil {
		return err
	}
	password = norm.NFC.String(password) // as it is hashed
	length := utf8.RuneCountInString(password)
	switch {
	case length < p.min:
		return subjects.InvalidField(field, "has fewer than %d characters", p.min)
	case length > p.max:
		return subjects.InvalidField(field, "has more than %d characters", p.max)
	case p.isCommon(password), known[strings.ToLower(password)]:
		return subjects.InvalidField(field, "is a common or breached password")
	case isOwnData(password, own):
		return subjects.InvalidField(field, "is too similar to your name or address")
	}
	return nil
}

// tail matches customary suffixes of a word: up to four digits or a well-known run of digits, and one punctuation mark.
var tail = regexp.MustCompile(`^([0-9]{0,4}|12345[0-9]{0,5}|123123)[!.?@#$*&%_-]?$`)

// unleet reverts common leetspeak substitutions.
var unleet = strings.NewReplacer("0", "o", "1", "i", "3", "e", "4", "a", "5", "s", "7", "t", "@", "a", "$", "s", "!", "i")

// isCommon reports whether a password is listed, or is a listed word with a customary suffix or a prefix of digits.
func (p *Policy) isCommon(password string) bool {
	lower := strings.ToLower(password)
	if p.common[lower] || isRun(lower) {
		return true
	}
	word := strings.TrimLeft(lower, "0123456789")
	if len(lower)-len(word) > 4 {
		word = lower
	}
	for i := len(lower); i >= 4 && len(lower)-i <= 12; i-- {
		if !tail.MatchString(lower[i:]) {
			continue
		}
		if p.listed(lower[:i]) || i > len(lower)-len(word) && p.listed(lower[len(lower)-len(word):i]) {
			return true
		}
	}
	return false
}

func (p *Policy) listed(word string) bool {
	return p.common[word] || p.common[unleet.Replace(word)]
}

// keyboards lists rows of keys and other sequences in which a run is no password.
var keyboards = []string{
	"01234567890", "abcdefghijklmnopqrstuvwxyz", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "azertyuiop",
	"1q2w3e4r5t6y7u8i9o0p", "1qaz2wsx3edc4rfv5tgb6yhn7ujm", "qazwsxedcrfvtgbyhnujm", "!@#$%^&*()",
}

// isRun reports whether s repeats a piece of up to four bytes, or is a run of the alphabet, the digits or a keyboard
// row, in either direction.
func isRun(s string) bool {
	for piece := 1; piece <= 4 && piece*2 <= len(s); piece++ {
		if strings.Repeat(s[:piece], len(s)/piece+1)[:len(s)] == s {
			return true
		}
	}
	back := []rune(s)
	slices.Reverse(back)
	for _, row := range keyboards {
		if strings.Contains(row+row, s) || strings.Contains(row+row, string(back)) {
			return true
		}
	}
	return false
}

const (
	// ownWord is the minimum length, in characters, of a part of a name or address that is matched.
	ownWord = 3
	// ownRest is the minimum number of characters that a password must have besides such parts.
	ownRest = 6
)

// isOwnData reports whether a password contains the account's address or names and little else.
func isOwnData(password string, own []string) bool {
	words := slices.SortedFunc(slices.Values(own), func(a, b string) int { return len(b) - len(a) })
	lower := strings.ToLower(password)
	rest := lower
	for _, word := range words {
		if utf8.RuneCountInString(word) >= ownWord {
			rest = strings.ReplaceAll(rest, word, "")
		}
	}
	return rest != lower && utf8.RuneCountInString(rest) < ownRest
}
