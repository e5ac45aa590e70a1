package backup

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"
)

// maxWindow bounds the memory of a decompressor in bytes.
const maxWindow = 8 << 20

// Archive is an archive that is open for reading.
type Archive struct {
	// Manifest describes it.
	Manifest Manifest
	// Bytes is its size.
	Bytes int64

	file    *os.File
	offsets map[string]int64
}

// Open opens an archive and checks that it is complete: its members are those of the manifest, with their sizes. Check compares their content. The
// error is ErrDamaged or ErrFormat for a file that cannot be read.
func Open(path string) (_ *Archive, err error) {
	file, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, fmt.Errorf("opening the archive: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("opening the archive: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("opening the archive: %s is not a file", path)
	}
	a := &Archive{file: file, Bytes: info.Size(), offsets: map[string]int64{}}
	in := tar.NewReader(file)
	text, err := a.small(in, manifestMember, maxManifest)
	if err != nil {
		return nil, err
	}
	if a.Manifest, err = parseManifest(text); err != nil {
		return nil, err
	}
	for _, member := range a.Manifest.Members {
		header, err := in.Next()
		if err != nil {
			return nil, fmt.Errorf("%w: it ends before %s", ErrDamaged, member.Name)
		}
		offset, err := file.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, fmt.Errorf("reading the archive: %w", err)
		}
		if header.Name != member.Name || header.Size != member.Size || offset+member.Size > info.Size() {
			return nil, fmt.Errorf("%w: %s is not what the manifest says", ErrDamaged, member.Name)
		}
		a.offsets[member.Name] = offset
	}
	end, err := a.small(in, endMember, sha256.Size*2)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(text); string(end) != hex.EncodeToString(sum[:]) {
		return nil, fmt.Errorf("%w: the manifest was changed", ErrDamaged)
	}
	return a, nil
}

// small reads the next member, which must have the name, as a whole.
func (a *Archive) small(in *tar.Reader, name string, limit int64) ([]byte, error) {
	header, err := in.Next()
	if err != nil {
		return nil, fmt.Errorf("%w: %s is missing (%w)", ErrDamaged, name, err)
	}
	if header.Name != name || header.Size > limit {
		return nil, fmt.Errorf("%w: it has %q in the place of %s", ErrDamaged, header.Name, name)
	}
	data, err := io.ReadAll(in)
	if err != nil {
		return nil, fmt.Errorf("%w: reading %s: %w", ErrDamaged, name, err)
	}
	return data, nil
}

// Close closes the archive.
func (a *Archive) Close() error { return a.file.Close() }

// raw returns a member as it is in the archive.
func (a *Archive) raw(name string) (*io.SectionReader, error) {
	member := a.Manifest.member(name)
	if member == nil {
		return nil, fmt.Errorf("%w: it has no %s", ErrDamaged, name)
	}
	return io.NewSectionReader(a.file, a.offsets[name], member.Size), nil
}

// open returns the content of a compressed member.
func (a *Archive) open(name string) (io.ReadCloser, error) {
	raw, err := a.raw(name)
	if err != nil {
		return nil, err
	}
	content, err := zstd.NewReader(raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("%w: decompressing %s: %w", ErrDamaged, name, err)
	}
	return content.IOReadCloser(), nil
}

// Check compares the SHA-256 of every member with the manifest.
func (a *Archive) Check(ctx context.Context, say func(string)) error {
	report := reporter{say: say, what: "reading the archive", next: time.Now().Add(reportEvery)}
	var done int64
	for _, member := range a.Manifest.Members {
		raw, err := a.raw(member.Name)
		if err != nil {
			return err
		}
		sum := sha256.New()
		n, err := io.Copy(sum, contextReader{ctx, raw})
		if err != nil {
			return fmt.Errorf("reading %s: %w", member.Name, err)
		}
		if n != member.Size || hex.EncodeToString(sum.Sum(nil)) != member.SHA256 {
			return fmt.Errorf("%w: %s was changed", ErrDamaged, member.Name)
		}
		done += n
		report.done(done, a.Bytes)
	}
	return nil
}
