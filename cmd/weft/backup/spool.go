package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"github.com/weftmesh/weft/actors/database"
)

const (
	// workPattern names the folders in which archives are made. One whose lock is free was left by a process that died.
	workPattern = ".weft-backup-*"
	lockName    = "lock"
	// window bounds what a compressor looks back, in bytes, and so its memory.
	window = 512 << 10
)

// spool is the folder in which an archive is made.
type spool struct {
	dir    string
	unlock func() error
}

// newSpool makes a folder in dir, and removes those of backups that died.
func newSpool(dir string) (*spool, error) {
	left, err := filepath.Glob(filepath.Join(dir, workPattern))
	if err != nil {
		return nil, err
	}
	for _, folder := range left {
		unlock, err := database.LockFile(filepath.Join(folder, lockName))
		if err != nil {
			continue // another backup is being made there
		}
		_ = os.RemoveAll(folder)
		_ = unlock()
	}
	work, err := os.MkdirTemp(dir, workPattern)
	if err != nil {
		return nil, fmt.Errorf("making a folder for the archive: %w", err)
	}
	unlock, err := database.LockFile(filepath.Join(work, lockName))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(work))
	}
	return &spool{dir: work, unlock: unlock}, nil
}

func (s *spool) remove() error { return errors.Join(os.RemoveAll(s.dir), s.unlock()) }

func (s *spool) path(member string) string { return filepath.Join(s.dir, spoolName(member)) }

// spoolFile is a member that is being written: compressed, counted and hashed.
type spoolFile struct {
	name string
	file *os.File
	out  *hashed
	zstd *zstd.Encoder // nil for a member that is not compressed
}

// create begins a member.
func (s *spool) create(name string, compressed bool) (*spoolFile, error) {
	file, err := os.OpenFile(s.path(name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", name, err)
	}
	f := &spoolFile{name: name, file: file, out: &hashed{w: file, hash: sha256.New()}}
	if compressed {
		f.zstd, err = zstd.NewWriter(f.out, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window), zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithLowerEncoderMem(true))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("compressing %s: %w", name, err), file.Close())
		}
	}
	return f, nil
}

func (f *spoolFile) Write(p []byte) (int, error) {
	if f.zstd != nil {
		return f.zstd.Write(p)
	}
	return f.out.Write(p)
}

// finish ends the member, also after an error, which it returns.
func (f *spoolFile) finish(err error) (Member, error) {
	if f.zstd != nil {
		err = errors.Join(err, f.zstd.Close())
	}
	err = errors.Join(err, f.file.Close())
	if err != nil {
		return Member{}, fmt.Errorf("writing %s: %w", f.name, err)
	}
	return Member{Name: f.name, Size: f.out.size, SHA256: hex.EncodeToString(f.out.hash.Sum(nil))}, nil
}

// write writes a member that fill produces.
func (s *spool) write(name string, compressed bool, fill func(io.Writer) error) (Member, error) {
	f, err := s.create(name, compressed)
	if err != nil {
		return Member{}, err
	}
	return f.finish(fill(f))
}

// hashed counts and hashes what is written.
type hashed struct {
	w    io.Writer
	hash hash.Hash
	size int64
}

func (h *hashed) Write(p []byte) (int, error) {
	n, err := h.w.Write(p)
	h.hash.Write(p[:n])
	h.size += int64(n)
	return n, err
}
