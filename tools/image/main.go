// Command image builds weft's container images without a container runtime: a scratch image for each platform, as an archive that
// `docker load` and `podman load` take, and an index of all of them as an OCI layout, which --push uploads to a registry.
//
// The images are reproducible to the byte: the same commit, version and Go release give the same digests on every machine. The times in them
// are that of the commit.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// options are the command line's.
type options struct {
	repo, out, tag, version, platforms, push string
}

func main() {
	var o options
	flag.StringVar(&o.repo, "repo", ".", "folder of weft's source")
	flag.StringVar(&o.out, "out", "build/image", "folder for the archives and the OCI layout; it is replaced")
	flag.StringVar(&o.tag, "tag", "weft:dev", "name and tag of the image in the archives")
	flag.StringVar(&o.version, "version", "dev", "version of the program and of the image")
	flag.StringVar(&o.platforms, "platforms", "linux/amd64,linux/arm64", "platforms, separated by commas")
	flag.StringVar(&o.push, "push", "", "also push the index to this registry reference, such as ghcr.io/weftmesh/weft:1.2.3")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, out io.Writer) error {
	tag, err := name.NewTag(o.tag)
	if err != nil {
		return fmt.Errorf("--tag: %w", err)
	}
	commit, at, err := commitOf(ctx, o.repo)
	if err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(o.out), os.MkdirAll(o.out, 0o755)); err != nil {
		return err
	}
	var index v1.ImageIndex = mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, text := range strings.Split(o.platforms, ",") {
		platform, err := v1.ParsePlatform(text)
		if err != nil || platform.OS != "linux" || platform.Architecture == "" {
			return fmt.Errorf("--platforms: %q is not linux/<architecture>", text)
		}
		program := filepath.Join(o.out, "weft-"+platform.Architecture)
		if err := build(ctx, o, platform.Architecture, program); err != nil {
			return fmt.Errorf("building for %s: %w", text, err)
		}
		image, err := newImage(program, *platform, imageInfo{version: o.version, commit: commit, at: at})
		if err != nil {
			return fmt.Errorf("assembling the image for %s: %w", text, err)
		}
		if err := os.Remove(program); err != nil {
			return err
		}
		archive := filepath.Join(o.out, "weft-linux-"+platform.Architecture+".tar")
		if err := tarball.WriteToFile(archive, tag, image); err != nil {
			return fmt.Errorf("writing %s: %w", archive, err)
		}
		digest, err := image.Digest()
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "%s  %s  %s\n", digest, text, archive); err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: platform}})
	}
	if _, err := layout.Write(filepath.Join(o.out, "oci"), index); err != nil {
		return fmt.Errorf("writing the OCI layout: %w", err)
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "%s  index  %s\n", digest, filepath.Join(o.out, "oci")); err != nil {
		return err
	}
	if o.push == "" {
		return nil
	}
	reference, err := name.ParseReference(o.push)
	if err != nil {
		return fmt.Errorf("--push: %w", err)
	}
	if err := remote.WriteIndex(reference, index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return fmt.Errorf("pushing to %s: %w", reference, err)
	}
	_, err = fmt.Fprintf(out, "pushed %s@%s\n", reference.Context(), digest)
	return err
}

// build compiles weft for an architecture.
func build(ctx context.Context, o options, architecture, file string) error {
	absolute, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w -X main.version="+o.version, "-o", absolute, "./cmd/weft")
	cmd.Dir, cmd.Stderr = o.repo, os.Stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+architecture)
	return cmd.Run()
}

// commitOf returns the hash and the time of the commit that is checked out; SOURCE_DATE_EPOCH overrides the time.
func commitOf(ctx context.Context, repo string) (string, time.Time, error) {
	out, err := exec.CommandContext(ctx, "git", "-C", repo, "log", "-1", "--format=%H %ct").Output()
	if err != nil {
		return "", time.Time{}, fmt.Errorf("reading the commit: %w", err)
	}
	commit, seconds, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if epoch := os.Getenv("SOURCE_DATE_EPOCH"); epoch != "" {
		seconds = epoch
	}
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("the time of the commit: %w", err)
	}
	return commit, time.Unix(unix, 0).UTC(), nil
}
