package consent

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/weftmesh/weft/actors/langtag"
	"github.com/weftmesh/weft/subjects"
)

// maxNoticeBytes bounds the texts of a version in bytes.
const maxNoticeBytes = 200_000

// hashOf is the SHA-256 of a text in UTF-8, in hexadecimal digits.
func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// noticeOf checks a request and returns the version that it publishes, without its number, and its texts.
func noticeOf(r subjects.PublishNoticeRequest, p purpose, now time.Time) (noticeRow, []noticeTextRow, error) {
	defaultLanguage, ok := langtag.Canonical(r.DefaultLanguage)
	if !ok {
		return noticeRow{}, nil, subjects.InvalidField("default_language", "is not a BCP 47 tag")
	}
	row := noticeRow{
		NoticeID: r.NoticeID, PurposeID: p.ID, Scope: p.Scope, Change: r.Change, DefaultLanguage: defaultLanguage,
		PublishedAt: now.UnixMicro(), RenewalsDone: r.Change != subjects.NoticeMaterial,
	}
	texts, size, seen := make([]noticeTextRow, len(r.Texts)), 0, map[string]bool{}
	for i, text := range r.Texts {
		field := "texts[" + strconv.Itoa(i) + "]."
		language, ok := langtag.Canonical(text.Language)
		switch {
		case !ok:
			return row, nil, subjects.InvalidField(field+"language", "is not a BCP 47 tag")
		case seen[language]:
			return row, nil, subjects.InvalidField(field+"language", "%s is there twice", language)
		case text.Hash != "" && text.Hash != hashOf(text.Text):
			return row, nil, subjects.InvalidField(field+"hash", "is not the SHA-256 of the text")
		}
		seen[language] = true
		size += len(text.Text)
		texts[i] = noticeTextRow{NoticeID: r.NoticeID, Language: language, Title: text.Title, Text: text.Text, Hash: hashOf(text.Text)}
	}
	if !seen[defaultLanguage] {
		return row, nil, subjects.InvalidField("default_language", "has no text")
	}
	if size > maxNoticeBytes {
		return row, nil, subjects.InvalidField("texts", "have %d bytes together, and may have %d", size, maxNoticeBytes)
	}
	return row, texts, nil
}

// resource returns a version as callers see it, with the texts if they have been read.
func (n noticeRow) resource(texts []noticeTextRow, whole bool) subjects.Notice {
	notice := subjects.Notice{
		NoticeID: n.NoticeID, Version: n.Version, PurposeID: n.PurposeID, Scope: n.Scope, Change: n.Change, DefaultLanguage: n.DefaultLanguage,
		Languages: make([]string, len(texts)), PublishedAt: time.UnixMicro(n.PublishedAt).UTC(), Renewals: n.Renewals, RenewalsPending: !n.RenewalsDone,
	}
	for i, text := range texts {
		notice.Languages[i] = text.Language
		if whole {
			notice.Texts = append(notice.Texts, subjects.NoticeText{Language: text.Language, Title: text.Title, Text: text.Text, Hash: text.Hash})
		}
	}
	return notice
}

// name identifies the version, for records.
func (n noticeRow) name() string { return n.NoticeID + "@" + strconv.FormatInt(n.Version, 10) }

// outdates reports whether a material change asks for the renewal of a consent: it was proven by an earlier version of this notice, or given
// before the change.
func (n noticeRow) outdates(c consentRow) bool {
	if c.NoticeID == n.NoticeID {
		version, err := strconv.ParseInt(c.NoticeVersion, 10, 64)
		return err != nil || version < n.Version
	}
	return c.GrantedAt <= n.PublishedAt
}
