package backup

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// publish puts the archive together and gives it its name.
func (b *builder) publish(path string) error {
	slices.SortFunc(b.manifest.Members, func(x, y Member) int { return compareMembers(x.Name, y.Name) })
	whole := filepath.Join(b.spool.dir, "archive")
	if err := b.assemble(whole); err != nil {
		return fmt.Errorf("writing the archive: %w", err)
	}
	// A link, unlike a rename, does not replace a file that another backup has made meanwhile.
	err := os.Link(whole, path)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w", path, ErrExists)
	}
	if err != nil { // a file system without links
		if _, exists := os.Lstat(path); exists == nil {
			return fmt.Errorf("%s: %w", path, ErrExists)
		}
		if err := os.Rename(whole, path); err != nil {
			return fmt.Errorf("naming the archive: %w", err)
		}
	}
	return syncDir(filepath.Dir(path))
}

// compareMembers orders members: the keys last, so that what is next to the manifest is what is verified first.
func compareMembers(x, y string) int {
	switch {
	case x == y:
		return 0
	case x == keysMember || y != keysMember && x > y:
		return 1
	}
	return -1
}

func (b *builder) assemble(path string) (err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	manifest, err := json.MarshalIndent(b.manifest, "", "  ")
	if err != nil {
		return err
	}
	out := tar.NewWriter(file)
	sum := sha256.Sum256(manifest)
	if err := writeMember(out, manifestMember, b.manifest.BeganAt, manifest); err != nil {
		return err
	}
	for _, member := range b.manifest.Members {
		if err := b.moveMember(out, member); err != nil {
			return err
		}
	}
	if err := writeMember(out, endMember, b.manifest.BeganAt, []byte(hex.EncodeToString(sum[:]))); err != nil {
		return err
	}
	return errors.Join(out.Close(), file.Sync())
}

func tarHeader(name string, at time.Time, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: size, ModTime: at.Truncate(time.Second), Format: tar.FormatPAX}
}

func writeMember(out *tar.Writer, name string, at time.Time, data []byte) error {
	err := out.WriteHeader(tarHeader(name, at, int64(len(data))))
	if err == nil {
		_, err = out.Write(data)
	}
	return err
}

// moveMember copies a member from the spool and removes it there.
func (b *builder) moveMember(out *tar.Writer, member Member) error {
	file, err := os.Open(b.spool.path(member.Name))
	if err != nil {
		return err
	}
	err = out.WriteHeader(tarHeader(member.Name, b.manifest.BeganAt, member.Size))
	if err == nil {
		_, err = io.Copy(out, file)
	}
	return errors.Join(err, file.Close(), os.Remove(file.Name()))
}

// syncDir makes the names in a folder survive a power failure.
func syncDir(dir string) error {
	f, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
