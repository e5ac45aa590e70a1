package mesh_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/weftmesh/weft/mesh"
)

func TestSecretIsMaskedEverywhere(t *testing.T) {
	t.Parallel()
	s := mesh.Secret("canary")
	body, err := json.Marshal(map[string]any{"s": s, "in": struct{ S mesh.Secret }{s}})
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.DebugLevel)
	zap.New(core).Info("m", zap.Any("s", s), zap.Stringer("t", s), zap.Any("u", struct{ S mesh.Secret }{s}))
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	entry := logs.All()[0]
	line, err := encoder.EncodeEntry(entry.Entry, entry.Context)
	if err != nil {
		t.Fatal(err)
	}
	shown := fmt.Sprintf("%v %s %q %+v %#v %s %s", s, s, s, struct{ S mesh.Secret }{s}, s, body, line)
	if strings.Contains(shown, "canary") || !strings.Contains(shown, "***") {
		t.Errorf("the secret is shown: %s", shown)
	}
	if s.Reveal() != "canary" {
		t.Errorf("Reveal returns %q", s.Reveal())
	}
}
