package chart_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// TestComposeFile loads deploy/compose.yaml with the reference implementation. Every file that it mounts exists, every service that others wait for
// is there, and weft's services cannot write to their root.
func TestComposeFile(t *testing.T) {
	options, err := cli.NewProjectOptions([]string{"../../deploy/compose.yaml"}, cli.WithName("weft"))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, service := range project.Services {
		for _, volume := range service.Volumes {
			if volume.Type == types.VolumeTypeBind {
				if _, err := os.Stat(volume.Source); err != nil {
					t.Errorf("%s mounts what does not exist: %v", name, err)
				}
			}
		}
		for other := range service.DependsOn {
			if _, ok := project.Services[other]; !ok {
				t.Errorf("%s waits for %s, which is not there", name, other)
			}
		}
		if strings.HasPrefix(service.Image, "weft:") && (!service.ReadOnly || len(service.CapDrop) != 1) {
			t.Errorf("%s can write to its root, or has capabilities", name)
		}
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s is published on %q", name, port.HostIP)
			}
		}
	}
	for _, file := range []string{"monitoring/weft.rules.yaml", "monitoring/dashboards/overview.json", "systemd/weft.service"} {
		if _, err := os.Stat(filepath.Join("../../deploy", file)); err != nil {
			t.Error(err)
		}
	}
}
