package langtag_test

import (
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/langtag"
)

func TestFallback(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]string{
		"de-CH": "de-CH de en", "de": "de en", "en-GB": "en-GB en", "en": "en", "zh-Hant-TW": "zh-Hant-TW zh-Hant zh en", "": "en", "no tag": "en",
		"DE-ch": "de-CH de en", "de-u-co-phonebk": "de-u-co-phonebk de-u-co de en", "iw": "he en",
	} {
		if got := strings.Join(langtag.Fallback(tag, "en"), " "); got != want {
			t.Errorf("%q: %s, want %s", tag, got, want)
		}
	}
}
