package notification_test

import (
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
	"github.com/nats-io/nats.go"
	"go.yaml.in/yaml/v3"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/notification"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// blocks returns the fenced blocks of a language in a document.
func blocks(t *testing.T, path, language string) (list []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile("(?s)\n```"+language+"\n(.*?)\n```").FindAllStringSubmatch(string(text), -1) {
		list = append(list, match[1])
	}
	return list
}

// TestPushAndSMSDocument makes the requests of docs/push-and-sms.md, in order, and checks its settings and the bounds that it names.
func TestPushAndSMSDocument(t *testing.T) {
	t.Parallel()
	const path = "../../docs/push-and-sms.md"
	var document map[string]any
	settings := blocks(t, path, "yaml")
	if err := yaml.Unmarshal([]byte(settings[0]), &document); err != nil || len(settings) != 1 {
		t.Fatalf("%v: %d blocks of settings", err, len(settings))
	}
	k := koanf.New(".")
	if err := k.Load(confmap.Provider(document, ""), nil); err != nil {
		t.Fatal(err)
	}
	config := notification.DefaultConfig()
	if err := k.UnmarshalWithConf("notification", &config, koanf.UnmarshalConf{Tag: "koanf"}); err != nil {
		t.Fatal(err)
	}
	if err := config.Check(); err != nil || config.Twilio.Weight != 3 || !config.SNS.Enabled() || !config.WebPush.Enabled() || len(config.Phone.AllowedCountries) != 3 {
		t.Fatalf("%v: %+v", err, config)
	}
	sms := startTwilio(t)
	f := setup(t, actortest.Databases(t)[0], func(c *notification.Config) { withPush(c); sms.configure(c) })
	as := f.user(t, actortest.User())
	requests := blocks(t, path, "http")
	for _, request := range requests {
		line, body, _ := strings.Cut(request, "\n")
		body = strings.Replace(body, "CODE", sms.code("+4915123456789"), 1)
		at := slices.IndexFunc(subjects.Endpoints(), func(d *subjects.Descriptor) bool { return d.HTTPMethod+" "+d.Path == line })
		if at < 0 {
			t.Fatalf("%s is no endpoint", line)
		}
		d := subjects.Endpoints()[at]
		if d.HTTPMethod == http.MethodGet && body != "" {
			t.Errorf("%s has a body", line)
		}
		answer, err := f.conn.Forward(t.Context(), d.Subject, nats.Header{mesh.HeaderAuthorization: {"Bearer " + as.Token}}, []byte(body))
		if err != nil {
			t.Errorf("%s: %v", request, err)
			continue
		}
		if d.Method == "get_phone" && !strings.Contains(string(answer.Data), `"+49*********89"`) {
			t.Errorf("%s: %s", line, answer.Data)
		}
	}
	if len(requests) != 8 {
		t.Errorf("%d requests", len(requests))
	}
}
