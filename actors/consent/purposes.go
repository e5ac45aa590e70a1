package consent

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/weftmesh/weft/subjects"
)

// maxScope bounds a scope in bytes.
const maxScope = 64

// purpose is a purpose with its id.
type purpose struct {
	ID string
	PurposeConfig
}

// purposes are those of weft's scopes and of the operator's own.
type purposes struct {
	// all has them in the order of subjects.Scopes, the operator's own after them, by id.
	all     []purpose
	byScope map[string]purpose
}

// newPurposes returns the purposes of an installation. A configured one with the id of a built-in changes what it sets.
func newPurposes(configured map[string]PurposeConfig) purposes {
	var all []purpose
	own := maps.Clone(configured)
	for _, scope := range subjects.Scopes() {
		p := purpose{strings.ReplaceAll(scope, ".", "-"), builtIn(scope)}
		p.override(own[p.ID])
		delete(own, p.ID)
		all = append(all, p)
	}
	for _, id := range slices.Sorted(maps.Keys(own)) {
		p := purpose{id, own[id]}
		p.Version = cmp.Or(p.Version, 1)
		all = append(all, p)
	}
	list := purposes{all: all, byScope: map[string]purpose{}}
	for _, p := range all {
		list.byScope[p.Scope] = p
	}
	return list
}

// of returns the purpose of a scope.
func (list purposes) of(scope string) (purpose, bool) {
	p, known := list.byScope[scope]
	return p, known
}

// get returns a purpose by its id.
func (list purposes) get(id string) (purpose, bool) {
	i := slices.IndexFunc(list.all, func(p purpose) bool { return p.ID == id })
	if i < 0 {
		return purpose{}, false
	}
	return list.all[i], true
}

// override sets what a configuration names.
func (p *purpose) override(c PurposeConfig) {
	p.Version, p.Scope = cmp.Or(c.Version, p.Version), cmp.Or(c.Scope, p.Scope)
	p.Description, p.Retention = cmp.Or(c.Description, p.Description), cmp.Or(c.Retention, p.Retention)
	p.SaleOrShare = cmp.Or(c.SaleOrShare, p.SaleOrShare)
	if len(c.Descriptions) > 0 {
		p.Descriptions = c.Descriptions
	}
	if len(c.LegalBasis) > 0 {
		p.LegalBasis = c.LegalBasis
	}
	if len(c.DataCategories) > 0 {
		p.DataCategories = c.DataCategories
	}
	if len(c.Recipients) > 0 {
		p.Recipients = c.Recipients
	}
}

// basisIn returns the purpose's legal basis in a jurisdiction: that of the region, the country, the EU or the default; empty if it has none.
func (p purpose) basisIn(code string) string {
	for _, place := range placesOf(code) {
		if basis, known := p.LegalBasis[place]; known {
			return basis
		}
	}
	return p.LegalBasis[defaultPlace]
}

// resource returns the purpose as list_scopes shows it.
func (p purpose) resource() subjects.ScopeInfo {
	return subjects.ScopeInfo{
		Scope: p.Scope, Description: p.Description, Descriptions: p.Descriptions, PurposeID: p.ID, PurposeVersion: p.Version,
		LegalBasis: orEmpty(p.LegalBasis), DataCategories: append([]string{}, p.DataCategories...),
		Recipients: append([]string{}, p.Recipients...), Retention: p.Retention, SaleOrShare: p.SaleOrShare,
	}
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// builtIn is the purpose of one of weft's own scopes.
func builtIn(scope string) PurposeConfig {
	d := builtIns[scope]
	return PurposeConfig{
		Version: 1, Scope: scope, Description: d.description, DataCategories: d.data, Recipients: d.recipients, Retention: untilDeleted,
		LegalBasis: map[string]string{defaultPlace: "eu-gdpr:A6-1-a", "US": "ccpa:opt-in", "BR": "lgpd:7-I"},
	}
}

// untilDeleted is the retention of the built-in purposes.
const untilDeleted = "until the user deletes the data or the account"

// Terms of the Data Privacy Vocabulary.
const (
	dataProvided    = "dpv:ProvidedPersonalData"
	dataIdentifying = "dpv:IdentifyingPersonalData"
	dataCollected   = "dpv:CollectedPersonalData"
	dataGenerated   = "dpv:GeneratedPersonalData"
)

const (
	recipientNone      = "nobody besides the operator"
	recipientProviders = "the providers of the accounts that the user has connected"
	recipientDelivery  = "the operator's providers of e-mail, SMS and push messages"
)

// builtIns are the purposes of weft's scopes.
var builtIns = map[string]struct {
	description      string
	data, recipients []string
}{
	subjects.ScopeUserProfileRead:  {"Read your profile.", []string{dataProvided, dataIdentifying}, []string{recipientNone}},
	subjects.ScopeUserProfileWrite: {"Change your profile.", []string{dataProvided, dataIdentifying}, []string{recipientNone}},
	subjects.ScopeIntegrationsRead: {"See which accounts you have connected.", []string{dataProvided}, []string{recipientNone}},
	subjects.ScopeIntegrationsConnect: {
		"Connect and disconnect accounts for you.", []string{dataProvided, dataIdentifying}, []string{recipientProviders},
	},
	subjects.ScopeIntegrationsExecute: {
		"Act in your connected accounts on your behalf.", []string{dataProvided, dataCollected}, []string{recipientProviders},
	},
	subjects.ScopeWorkflowsRead:    {"See your workflows and their executions.", []string{dataProvided, dataGenerated}, []string{recipientNone}},
	subjects.ScopeWorkflowsExecute: {"Run your workflows.", []string{dataProvided, dataCollected, dataGenerated}, []string{recipientProviders}},
	subjects.ScopeNotificationsSend: {
		"Send you notifications.", []string{dataIdentifying, dataGenerated}, []string{recipientDelivery},
	},
	subjects.ScopeNotificationsMarketing: {
		"Send you news and offers.", []string{dataIdentifying}, []string{recipientDelivery},
	},
}
