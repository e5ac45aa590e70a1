package notification_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"

	"github.com/weftmesh/weft/actors/notification"
	"github.com/weftmesh/weft/mesh"
)

// TestMailDocs: every block of settings in docs/mail.md is valid, once the secrets that it leaves to the environment are there, and the
// commands that make a DKIM key make one that weft takes.
func TestMailDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/mail.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	commands := regexp.MustCompile("(?s)```sh\n(openssl genrsa.*?)```").FindSubmatch(page)
	if commands == nil {
		t.Fatal("the page does not say how to make a key")
	}
	shell := exec.CommandContext(t.Context(), "bash", "-euc", string(commands[1]))
	shell.Dir = dir
	public, err := shell.Output()
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(page, -1)
	if len(blocks) != 3 {
		t.Fatalf("%d blocks", len(blocks))
	}
	for _, block := range blocks {
		text := strings.ReplaceAll(string(block[1]), "/etc/weft/dkim.pem", filepath.Join(dir, "dkim.pem"))
		var values map[string]map[string]any
		if err := yaml.Unmarshal([]byte(text), &values); err != nil {
			t.Fatal(err)
		}
		config := notification.DefaultConfig()
		k := koanf.New(".")
		if err := k.Load(confmap.Provider(values["notification"], ""), nil); err != nil {
			t.Fatal(err)
		}
		if err := k.UnmarshalWithConf("", &config, koanf.UnmarshalConf{Tag: "koanf"}); err != nil {
			t.Fatal(err)
		}
		secret := mesh.Secret("0123456789abcdef")
		config.SMTP.Password, config.SMTP.BounceSecret, config.SES.SecretAccessKey = secret, secret, secret
		if strings.Contains(text, "sendgrid:") {
			config.SendGrid.APIKey = secret
		}
		if err := config.Check(); err != nil {
			t.Errorf("%v in\n%s", err, text)
		}
		if config.DKIM.Domain != "" && len(public) < 300 {
			t.Errorf("the public key is %q", public)
		}
	}
}
