package consent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strconv"

	"github.com/weftmesh/weft/actors/seal"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// exportPart is the size of the parts of a file in bytes; the last one may be shorter.
const exportPart = 512 << 10

// The formats of exports.
const (
	formatJSON = "json"
	formatCSV  = "csv"
)

// errExportTooLarge is the error for a file that exceeds consent.privacy.max_export.
var errExportTooLarge = errors.New("the file exceeds consent.privacy.max_export")

func exportContext(requestID string) []byte { return []byte("privacy_requests/" + requestID) }

func exportPartName(attempt string, n int64) string { return attempt + "/" + strconv.FormatInt(n, 10) }

func exportPartContext(attempt string, n int64) []byte {
	return []byte("consent_exports/" + exportPartName(attempt, n))
}

// fileWriter stores a file in sealed parts. It holds one part in memory.
type fileWriter struct {
	ctx     context.Context //nolint:containedctx // of the one attempt that the writer serves
	key     *seal.Sealer
	parts   *kv.ObjectStore
	attempt string
	most    int64
	// renew extends the claim before each part; it fails where another process has taken over.
	renew func(ctx context.Context, parts int64) error

	part  []byte
	count int64
	size  int64
	sum   hash.Hash
}

func (w *fileWriter) Write(data []byte) (int, error) {
	w.size += int64(len(data))
	if w.size > w.most {
		return 0, errExportTooLarge
	}
	w.sum.Write(data)
	w.part = append(w.part, data...)
	for len(w.part) >= exportPart {
		if err := w.store(w.part[:exportPart]); err != nil {
			return 0, err
		}
		w.part = append([]byte(nil), w.part[exportPart:]...)
	}
	return len(data), nil
}

// store stores a part.
func (w *fileWriter) store(content []byte) error {
	if err := w.renew(w.ctx, w.count+1); err != nil {
		return err
	}
	sealed, err := w.key.Seal(content, exportPartContext(w.attempt, w.count))
	if err == nil {
		err = w.parts.Put(w.ctx, exportPartName(w.attempt, w.count), sealed)
	}
	w.count++
	return err
}

// close stores the last part and returns the hash of the file.
func (w *fileWriter) close() (sum string, err error) {
	if len(w.part) > 0 {
		err = w.store(w.part)
	}
	return hex.EncodeToString(w.sum.Sum(nil)), err
}

// newFile begins the file of an attempt, and returns the sealed key of its parts.
func (p *privacy) newFile(ctx context.Context, row privacyRow) (*fileWriter, []byte, error) {
	key, sealed, err := p.Sealer.NewDataKey(exportContext(row.ID))
	if err != nil {
		return nil, nil, err
	}
	return &fileWriter{
		ctx: ctx, key: key, parts: p.parts, attempt: row.Attempt, most: p.config.MaxExport, sum: sha256.New(),
		renew: func(ctx context.Context, parts int64) error {
			return p.store.renew(ctx, row.ID, row.Attempt, p.Now().Add(privacyLease), parts)
		},
	}, sealed, nil
}

// readPart returns a part of a request's file.
func (p *privacy) readPart(ctx context.Context, row privacyRow, n int64) ([]byte, error) {
	key, err := p.Sealer.OpenDataKey(row.FileKey, exportContext(row.ID))
	if err != nil {
		return nil, err
	}
	sealed, err := p.parts.Get(ctx, exportPartName(row.Attempt, n))
	if errors.Is(err, kv.ErrNotFound) {
		return nil, errNoPrivacyRequest // it has expired since the request was read
	}
	if err != nil {
		return nil, fmt.Errorf("reading an export: %w", err)
	}
	return key.Open(sealed, exportPartContext(row.Attempt, n))
}

// deleteParts deletes the parts that an attempt may have stored.
func (p *privacy) deleteParts(ctx context.Context, attempt string, count int64) error {
	for n := range count {
		if err := p.parts.Delete(ctx, exportPartName(attempt, n)); err != nil {
			return fmt.Errorf("deleting an export: %w", err)
		}
	}
	return nil
}

// file is the file of a request, or nil.
func (r privacyRow) file(now int64) *subjects.PrivacyExport {
	if len(r.FileKey) == 0 || r.FileExpiresAt <= now {
		return nil
	}
	return &subjects.PrivacyExport{
		ID: r.ID, Name: "weft-" + r.Kind + "-" + r.ID + ".zip", ContentType: "application/zip", Size: r.FileSize, SHA256: r.FileSHA256,
		Download: "/v1/privacy/exports/" + r.ID + "/content", ExpiresAt: microTime(r.FileExpiresAt),
	}
}
