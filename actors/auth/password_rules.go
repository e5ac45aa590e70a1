package auth

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

// commonPasswords are words and whole passwords that breaches show most often, lower case, one a line, gzipped.
//
//go:embed common_passwords.txt.gz
var commonPasswords []byte

// breachedPasswords are the whole passwords that breaches show most often, of eight characters and more, lower case, sorted,
// one a line after a line about where they are from, gzipped. scripts/passwords.sh makes the file.
//
//go:embed breached_passwords.txt.gz
var breachedPasswords []byte

// breached holds breachedPasswords, unpacked when the first password is checked.
var breached = sync.OnceValues(func() (map[string]bool, error) {
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

// policy is the rule for new passwords, after ASVS 5.0 §6.2: length and a blocklist, never a rule of composition.
type policy struct {
	least, most int
	common      map[string]bool
}

// newPolicy reads the blocklist, and the operator's own besides where file is not empty.
func newPolicy(least, most int, file string) (*policy, error) {
	p := &policy{least: least, most: most, common: map[string]bool{}}
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

func (p *policy) add(lines *bufio.Scanner) error {
	for lines.Scan() {
		if line := strings.ToLower(strings.TrimSpace(lines.Text())); line != "" {
			p.common[line] = true
		}
	}
	return lines.Err()
}

// check refuses a password for the account it is meant for.
func (p *policy) check(password string, u user) error {
	const field = "password"
	known, err := breached()
	if err != nil {
		return err
	}
	length := utf8.RuneCountInString(password)
	switch {
	case length < p.least:
		return subjects.InvalidField(field, "has fewer than %d characters", p.least)
	case length > p.most:
		return subjects.InvalidField(field, "has more than %d characters", p.most)
	case p.isCommon(password), known[strings.ToLower(norm.NFC.String(password))]:
		return subjects.InvalidField(field, "is among the passwords that are tried first")
	case isOwnData(password, u):
		return subjects.InvalidField(field, "is too close to your own name or address")
	}
	return nil
}

// tail is what people put behind a word to make it longer: up to four digits, a well-known run of them, and one sign.
var tail = regexp.MustCompile(`^([0-9]{0,4}|12345[0-9]{0,5}|123123)[!.?@#$*&%_-]?$`)

// unleet undoes the substitutions that every cracker knows.
var unleet = strings.NewReplacer("0", "o", "1", "i", "3", "e", "4", "a", "5", "s", "7", "t", "@", "a", "$", "s", "!", "i")

// isCommon tells whether a password is a listed one, or a listed word with a customary tail or head of digits.
func (p *policy) isCommon(password string) bool {
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

func (p *policy) listed(word string) bool { return p.common[word] || p.common[unleet.Replace(word)] }

// keyboards are the rows whose runs are no password, in reading order.
var keyboards = []string{
	"01234567890", "abcdefghijklmnopqrstuvwxyz", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "azertyuiop",
	"1q2w3e4r5t6y7u8i9o0p", "1qaz2wsx3edc4rfv5tgb6yhn7ujm", "qazwsxedcrfvtgbyhnujm", "!@#$%^&*()",
}

// isRun tells whether s is one short piece repeated, or a run along the alphabet, the digits or a keyboard.
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
	// ownWord is the length from which a part of a name or address counts.
	ownWord = 3
	// ownRest is how much a password must have besides the user's own data.
	ownRest = 6
)

// isOwnData tells whether little is left of a password without the account's address and names.
func isOwnData(password string, u user) bool {
	local, domain, _ := strings.Cut(u.Email, "@")
	host, _, _ := strings.Cut(domain, ".")
	words := []string{u.Email, local, domain, host, "weft"}
	split := func(r rune) bool { return strings.ContainsRune(" ._+-", r) }
	for _, s := range []string{local, u.FirstName, u.LastName} {
		words = append(words, strings.FieldsFunc(strings.ToLower(s), split)...)
	}
	slices.SortFunc(words, func(a, b string) int { return len(b) - len(a) })
	whole := strings.ToLower(password)
	rest := whole
	for _, word := range words {
		if utf8.RuneCountInString(word) >= ownWord {
			rest = strings.ReplaceAll(rest, word, "")
		}
	}
	return rest != whole && utf8.RuneCountInString(rest) < ownRest
}
