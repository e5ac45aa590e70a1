package ledger

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/wait"
)

// Witness cosigns checkpoints that are consistent with all that it has cosigned before (C2SP tlog-witness).
type Witness struct {
	// URL is its submission prefix.
	URL      string
	Verifier note.Verifier
}

// witnessRetry is the interval at which witnesses are asked again that have not cosigned the latest tree.
const witnessRetry = 10 * time.Second

// RunWitnesses has each tree cosigned and publishes its checkpoint once a quorum of witnesses has, until ctx ends.
func (l *Ledger) RunWitnesses(ctx context.Context) error {
	if len(l.Witnesses) == 0 || l.key.signer == nil {
		<-ctx.Done()
		return nil
	}
	for ctx.Err() == nil {
		if err := l.cosignLatest(ctx); err != nil && ctx.Err() == nil {
			l.Log.Warn("the ledger's witnesses have not cosigned the latest tree", zap.Error(err))
		}
		_ = l.cosign.Wait(ctx, witnessRetry)
		if ctx.Err() == nil {
			_ = wait.Sleep(ctx, time.Second) // one round a second takes any number of trees
		}
	}
	return nil
}

// cosignLatest asks every witness for a cosignature of the latest tree.
func (l *Ledger) cosignLatest(ctx context.Context) error {
	state, err := l.store.state(ctx)
	if err != nil || state.Size == 0 {
		return err
	}
	signed, err := l.key.sign(state.tree())
	if err != nil {
		return err
	}
	have := 0
	if state.CheckpointSize == state.Size {
		have = strings.Count(state.Checkpoint, "\n— ") - 1
	}
	if have >= len(l.Witnesses) {
		return nil
	}
	cosigned, count := string(signed), 0
	var failures []error
	for _, w := range l.Witnesses {
		lines, err := l.ask(ctx, w, state.tree(), signed)
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", w.Verifier.Name(), err))
			continue
		}
		cosigned += lines
		count++
	}
	if count >= l.Quorum && count > have {
		err := l.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
			return l.store.publish(ctx, tx, cosigned, state.Size)
		})
		if err != nil {
			return err
		}
	}
	return errors.Join(failures...)
}

// errWitness is the error for a witness that refuses.
var errWitness = errors.New("the witness has refused")

// ask requests a witness's cosignature of a tree, and returns its signature lines. Where the witness has cosigned another size than the
// ledger remembers, it says so, and is asked once more.
func (l *Ledger) ask(ctx context.Context, w Witness, tree tlog.Tree, signed []byte) (string, error) {
	from, err := l.store.cosignedSize(ctx, w.Verifier.Name())
	if err != nil {
		return "", err
	}
	for again := true; ; again = false {
		body, err := l.request(ctx, min(from, tree.N), tree.N, signed)
		if err != nil {
			return "", err
		}
		answer, err := l.Client.Do(ctx, egress.Request{
			Method: http.MethodPost, URL: strings.TrimSuffix(w.URL, "/") + "/add-checkpoint", Body: body, NoRedirect: true,
		})
		if err != nil {
			return "", err
		}
		if answer.Status == http.StatusConflict && again {
			size, err := strconv.ParseInt(strings.TrimSuffix(string(answer.Body), "\n"), 10, 64)
			if err != nil || size < 0 || size > tree.N {
				return "", fmt.Errorf("%w: it has cosigned a tree of another size: %.40q", errWitness, answer.Body)
			}
			from = size
			continue
		}
		if answer.Status != http.StatusOK {
			return "", fmt.Errorf("%w: HTTP %d %.100q", errWitness, answer.Status, answer.Body)
		}
		return l.accept(ctx, w, tree, signed, answer.Body)
	}
}

// accept verifies a witness's cosignature and remembers the size of the tree.
func (l *Ledger) accept(ctx context.Context, w Witness, tree tlog.Tree, signed, lines []byte) (string, error) {
	n, err := note.Open(append(append([]byte(nil), signed...), lines...), note.VerifierList(w.Verifier))
	if err != nil {
		return "", fmt.Errorf("%w: its cosignature does not verify: %w", errWitness, err)
	}
	valid := ""
	for _, s := range n.Sigs {
		valid += "— " + s.Name + " " + s.Base64 + "\n"
	}
	err = l.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		return l.store.setCosignedSize(ctx, tx, w.Verifier.Name(), tree.N)
	})
	return valid, err
}

// request is the body of add-checkpoint (C2SP tlog-witness, add-checkpoint).
func (l *Ledger) request(ctx context.Context, from, size int64, signed []byte) ([]byte, error) {
	body := fmt.Appendf(nil, "old %d\n", from)
	if from > 0 && from < size {
		proof, err := tlog.ProveTree(size, from, l.tiles(ctx).hashReader())
		if err != nil {
			return nil, fmt.Errorf("proving a tree: %w", err)
		}
		for _, hash := range proof {
			body = append(body, base64.StdEncoding.EncodeToString(hash[:])+"\n"...)
		}
	}
	return append(append(body, '\n'), signed...), nil
}

// ParseWitnesses reads the setting that lists witnesses: verifier keys, each with the witness's URL.
func ParseWitnesses(list []string) ([]Witness, error) {
	witnesses := make([]Witness, 0, len(list))
	for _, text := range list {
		fields := strings.Fields(text)
		if len(fields) != 2 {
			return nil, errors.New("each witness is its verifier key, a space and the URL of its submission prefix")
		}
		verifier, err := NewCosigner(fields[0])
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(witnesses, func(w Witness) bool { return w.Verifier.Name() == verifier.Name() }) {
			return nil, fmt.Errorf("two witnesses have the name %q", verifier.Name())
		}
		witnesses = append(witnesses, Witness{URL: fields[1], Verifier: verifier})
	}
	return witnesses, nil
}
