package consent

import (
	"cmp"
	"context"

	"github.com/weftmesh/weft/subjects"
)

// processing is what weft does with personal data of users without their consent.
var processing = []subjects.ProcessingRecord{
	{
		ID: "weft-account", Purpose: "Keep accounts and sign users in.", LegalBasis: map[string]string{defaultPlace: "eu-gdpr:A6-1-b", "BR": "lgpd:7-V"},
		DataCategories: []string{dataProvided, dataIdentifying}, Recipients: []string{recipientNone}, Retention: "until the account is deleted",
	},
	{
		ID: "weft-security", Purpose: "Detect misuse of accounts: addresses and devices of sign-ins, failed attempts, audit events.",
		LegalBasis:     map[string]string{defaultPlace: "eu-gdpr:A6-1-f", "BR": "lgpd:7-IX"},
		DataCategories: []string{dataCollected, dataIdentifying}, Recipients: []string{recipientNone}, Retention: "the setting auth.audit_kept",
	},
	{
		ID: "weft-account-mail", Purpose: "Send messages about the account: verification, resets, warnings.",
		LegalBasis:     map[string]string{defaultPlace: "eu-gdpr:A6-1-b", "BR": "lgpd:7-V"},
		DataCategories: []string{dataIdentifying}, Recipients: []string{recipientDelivery}, Retention: "seven days",
	},
	{
		ID: "weft-consent-record", Purpose: "Prove consents, refusals and withdrawals (GDPR Art. 7(1)), and that requests of data subjects were answered.",
		LegalBasis:     map[string]string{defaultPlace: "eu-gdpr:A6-1-c", "BR": "lgpd:7-II"},
		DataCategories: []string{dataCollected}, Recipients: []string{recipientNone},
		Retention: "the record until the account is deleted, a pseudonymous entry of the ledger afterwards",
	},
}

// processingRecords answers with the record of processing activities.
func (a *Actor) processingRecords(context.Context, subjects.Empty) (subjects.ProcessingRecords, error) {
	c := a.config.Controller
	records := subjects.ProcessingRecords{
		GeneratedAt: a.Now().UTC(), Controller: subjects.ProcessingParty{
			Name: cmp.Or(c.Name, a.Issuer), Address: c.Address, Email: c.Email, Phone: c.Phone, URL: c.URL,
		},
		Representative: c.Representative.processingParty(), DPO: c.DPO.processingParty(), Authority: c.Authority.processingParty(),
		StorageLocations: append([]string{}, c.StorageLocations...), ProcessingLocations: append([]string{}, c.ProcessingLocations...),
		Transfers: c.Transfers, Security: c.Security, Missing: c.missing(),
	}
	for _, p := range a.purposes.all {
		records.Items = append(records.Items, subjects.ProcessingRecord{
			ID: p.ID, Version: p.Version, Purpose: p.Description, Scope: p.Scope, LegalBasis: orEmpty(p.LegalBasis),
			DataCategories: append([]string{}, p.DataCategories...), Recipients: append([]string{}, p.Recipients...), Retention: p.Retention,
			SaleOrShare: p.SaleOrShare,
		})
	}
	for _, p := range processing {
		p.Version = 1
		records.Items = append(records.Items, p)
	}
	for i := range records.Items {
		records.Items[i].DataSubjects = []string{"users"}
	}
	return records, nil
}

// missing are the settings that Art. 30(1) needs and that are empty.
func (c ControllerConfig) missing() []string {
	missing := []string{}
	for _, setting := range []struct{ name, value string }{
		{"name", c.Name}, {"address", c.Address}, {"email", c.Email}, {"security", c.Security}, {"transfers", c.Transfers},
	} {
		if setting.value == "" {
			missing = append(missing, "consent.controller."+setting.name)
		}
	}
	return missing
}

// processingParty is a contact in the record; nil if there is none.
func (c ContactConfig) processingParty() *subjects.ProcessingParty {
	if c == (ContactConfig{}) {
		return nil
	}
	return &subjects.ProcessingParty{Name: c.Name, Address: c.Address, Email: c.Email, URL: c.URL}
}
