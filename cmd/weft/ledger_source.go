package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/consent/ledger"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/subjects"
)

const (
	// recordsFile is the file of an export with the ledger's records, one per line.
	recordsFile = "records.jsonl"
	// ledgerPath is where a running weft serves the ledger.
	ledgerPath = "/v1/consents/ledger/"
	// maxAnswer bounds an answer in bytes.
	maxAnswer = 32 << 20
	// ledgerTries bounds the requests for one resource, where the gateway asks to wait.
	ledgerTries = 20
)

// ledgerSource is a ledger that is served by a running weft or lies in a directory.
type ledgerSource struct {
	ctx    context.Context //nolint:containedctx // that of the command
	base   string          // the URL of the ledger; empty for a directory
	dir    string
	client http.Client
}

func newLedgerSource(ctx context.Context, place string) (*ledgerSource, error) {
	if !strings.Contains(place, "://") {
		if info, err := os.Stat(place); err != nil || !info.IsDir() {
			return nil, usageError{fmt.Errorf("%s is neither a URL nor a directory", place)}
		}
		return &ledgerSource{ctx: ctx, dir: place}, nil
	}
	if u, err := url.Parse(place); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, usageError{fmt.Errorf("%s is no URL of a running weft", place)}
	}
	return &ledgerSource{ctx: ctx, base: strings.TrimSuffix(place, "/") + ledgerPath, client: http.Client{Timeout: time.Minute}}, nil
}

// read reads a resource of the ledger. The error is fs.ErrNotExist for one that is missing.
func (s *ledgerSource) read(path string) ([]byte, error) {
	if s.base == "" {
		return os.ReadFile(filepath.Join(s.dir, filepath.FromSlash(path)))
	}
	return s.get(path, "")
}

// get requests a path below the ledger's, with a token where there is one.
func (s *ledgerSource) get(path, token string) ([]byte, error) {
	for try := 1; ; try++ {
		request, err := http.NewRequestWithContext(s.ctx, http.MethodGet, s.base+path, http.NoBody)
		if err != nil {
			return nil, err
		}
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		response, err := s.client.Do(request)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
		err = errors.Join(err, response.Body.Close())
		switch {
		case err != nil:
			return nil, err
		case response.StatusCode == http.StatusOK:
			return body, nil
		case response.StatusCode == http.StatusNotFound:
			return nil, fs.ErrNotExist
		case response.StatusCode != http.StatusTooManyRequests && response.StatusCode != http.StatusServiceUnavailable || try == ledgerTries:
			return nil, fmt.Errorf("%s answered %s", s.base+path, response.Status)
		}
		seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
		if err != nil || seconds < 1 {
			seconds = 1
		}
		if err := wait.Sleep(s.ctx, time.Duration(min(seconds, 60))*time.Second); err != nil {
			return nil, err
		}
	}
}

// records returns a function that returns the ledger's records in order, from the first that the ledger has, and io.EOF at the end.
func (s *ledgerSource) records(first int64) (func() (subjects.LedgerRecord, error), error) {
	if s.base == "" {
		file, err := os.Open(filepath.Join(s.dir, recordsFile))
		if err != nil {
			return nil, fmt.Errorf("reading the records: %w", err)
		}
		return ledger.ReadRecords(file, first), nil // the file is closed at the end of the process
	}
	token := os.Getenv("WEFT_TOKEN")
	if token == "" {
		return nil, usageError{errors.New("--records requires an admin's access token in WEFT_TOKEN")}
	}
	var page []subjects.LedgerRecord
	from := first
	return func() (r subjects.LedgerRecord, err error) {
		if len(page) == 0 {
			body, err := s.get("records?from="+strconv.FormatInt(from, 10), token)
			if err != nil {
				return r, fmt.Errorf("reading the records: %w", err)
			}
			var list subjects.LedgerRecordList
			if err := json.Unmarshal(body, &list); err != nil {
				return r, fmt.Errorf("reading the records: %w", err)
			}
			page = list.Items
		}
		if len(page) == 0 {
			return r, io.EOF
		}
		r, page = page[0], page[1:]
		from = r.Index + 1
		return r, nil
	}, nil
}

// exportRecords writes the ledger's records into a file.
func (s *ledgerSource) exportRecords(name string) (err error) {
	next, err := s.records(0)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	out := bufio.NewWriter(file)
	for {
		r, err := next()
		if errors.Is(err, io.EOF) {
			return out.Flush()
		}
		if err == nil {
			err = ledger.WriteRecord(out, r)
		}
		if err != nil {
			return err
		}
	}
}
