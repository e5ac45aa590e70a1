// Package consent is the actor that records what users allow.
//
// It owns:
//   - the subjects weft.v1.consent.*
//   - the tables consents and consent_*, and those of package ledger
//   - the bucket consent_state, which every guard reads
//   - the stream CONSENT_LEDGER, the append-only record of every change
//   - the event consent.changed, and consent.privacy_request_changed
//   - the tables privacy_requests and privacy_request_actors, and the object store consent_exports
//
// It consumes auth.account_deleted, auth.user_updated and the confirmations of erasures.
//
// Guarantee: once revoke_consent has returned, no process starts an action under that consent. A grant is written
// to SQL first and then to the bucket; a revocation to the bucket first and then to SQL. A crash between the two
// writes therefore leaves guards denying, and reconcile completes the second write at the next start.
package consent

import (
	"context"
	"embed"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/consent/ledger"
	"github.com/weftmesh/weft/actors/consent/receipt"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// Migrations creates the actor's tables.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// maxDirectives bounds the accounts in Actor.directives.
const maxDirectives = 10_000

// gpcSeen is a signal of an account in a region.
type gpcSeen struct{ userID, region string }

// startupTimeout bounds what New does over the network.
const startupTimeout = 10 * time.Second

// Actor records consents.
type Actor struct {
	actors.Deps
	config   Config
	purposes purposes
	store    store
	states   *kv.Bucket[subjects.ConsentState]
	metrics  metrics
	bounds   *bounds
	signer   *noticeSigner
	// renewals wakes the task that marks consents for renewal.
	renewals wait.Signal
	// directives are accounts whose directives this process has recorded.
	directives *lru.Cache[gpcSeen, struct{}]
	ledger     *ledger.Ledger
	privacy    *privacy
	receipts   receipt.Key
}

// New checks the settings, opens the bucket consent_state and registers the metrics.
func New(d actors.Deps, c Config) (*Actor, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startupTimeout)
	defer cancel()
	states, err := kv.Open[subjects.ConsentState](ctx, d.Conn.JS, kv.ConsentState)
	if err != nil {
		return nil, fmt.Errorf("opening the bucket of consent states: %w", err)
	}
	a := &Actor{Deps: d, config: c, purposes: newPurposes(c.Purposes), store: store{db: d.DB}, states: states, metrics: newMetrics(d.Metrics)}
	a.bounds, a.renewals = newBounds(a), wait.NewSignal()
	a.signer = &noticeSigner{Deps: d, store: a.store}
	if a.directives, err = lru.New[gpcSeen, struct{}](maxDirectives); err != nil {
		return nil, err
	}
	if a.ledger, err = a.openLedger(ctx); err != nil {
		return nil, err
	}
	if a.receipts, err = (receiptIssuer{a}).openReceiptKey(ctx); err != nil {
		return nil, err
	}
	if a.privacy, err = openPrivacy(ctx, d, c.Privacy, a.exportSet()); err != nil {
		return nil, err
	}
	a.privacy.about = func(ctx context.Context) (any, error) { return a.processingRecords(ctx, subjects.Empty{}) }
	return a, nil
}

// Service lists the actor's endpoints, consumers and background work.
func (a *Actor) Service() actors.Service {
	requests, receipts := privacyHandlers{a}, receiptIssuer{a}
	return actors.Service{
		Name: "consent",
		Bindings: []actors.Binding{
			actors.Bind(subjects.GrantConsent, a.grant),
			actors.Bind(subjects.RevokeConsent, a.revoke),
			actors.Bind(subjects.ValidateConsent, a.validate),
			actors.Bind(subjects.BulkValidateConsents, a.validateBulk),
			actors.Bind(subjects.GetConsent, a.get),
			actors.Bind(subjects.GetReceipt, receipts.receipt),
			actors.Bind(subjects.ReceiptKeys, receipts.receiptKeyDocument),
			actors.Bind(subjects.ExportUserConsents, receipts.exportConsents),
			actors.Bind(subjects.ListConsents, a.list),
			actors.Bind(subjects.GetConsentHistory, a.history),
			actors.Bind(subjects.ListScopes, a.scopes),
			actors.Bind(subjects.GetConsentLimits, a.getLimits),
			actors.Bind(subjects.PublishNotice, a.publishNotice),
			actors.Bind(subjects.ListNotices, a.listNotices),
			actors.Bind(subjects.ServeNotice, a.serveNotice),
			actors.Bind(subjects.GPCStatusOf, a.gpcStatus),
			actors.Bind(subjects.LedgerCheckpoint, a.ledgerCheckpoint),
			actors.Bind(subjects.LedgerBase, a.ledgerBase),
			actors.Bind(subjects.LedgerKey, a.ledgerKey),
			actors.Bind(subjects.LedgerTile, a.ledgerTile),
			actors.Bind(subjects.LedgerProof, a.ledgerProof),
			actors.Bind(subjects.ListLedgerRecords, a.ledgerRecords),
			actors.Bind(subjects.ListProcessingRecords, a.processingRecords),
			actors.Bind(subjects.CreatePrivacyRequest, requests.createPrivacyRequest),
			actors.Bind(subjects.GetPrivacyRequest, requests.getPrivacyRequest),
			actors.Bind(subjects.ListPrivacyRequests, requests.listPrivacyRequests),
			actors.Bind(subjects.GetPrivacyExport, requests.privacyExport),
			actors.Bind(subjects.ListAllPrivacyRequests, requests.listAllPrivacyRequests),
			actors.Bind(subjects.ExtendPrivacyRequest, requests.extendPrivacyRequest),
			actors.Bind(subjects.ResolvePrivacyRequest, requests.resolvePrivacyRequest),
		},
		Workers: []actors.Worker{
			actors.OnErasure(a.Deps, subjects.ConsentErasure, subjects.ConsentErased, a.erase),
			actors.Listen(subjects.PrivacyErasures, a.privacy.erasureConfirmed),
			actors.Listen(subjects.PrivacyRectifications, a.privacy.profileChanged),
		},
		Background: map[string]func(context.Context) error{
			"reconcile": a.reconcile, "ledger": a.ledger.Run, "witnesses": a.ledger.RunWitnesses,
			"ledger_pruning": a.ledger.RunPruning, "ledger_watch": a.ledger.RunWatch, "expiry": sweeper{a}.runExpiry, "retention": sweeper{a}.runRetention,
			"privacy":  a.privacy.run,
			"renewals": renewer{a}.runRenewals,
		},
	}
}
