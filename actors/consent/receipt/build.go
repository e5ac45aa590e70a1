package receipt

import (
	"cmp"
	"strconv"
	"strings"
	"time"
)

// The profiles (W3C DPV guide "Consent Records and Receipts as per ISO/IEC TS 27560:2023 using DPV", §2).
const (
	ProfileReceipt = "https://w3id.org/dpv/schema/dpv-27560#receipt-eu-gdpr"
	ProfileRecord  = "https://w3id.org/dpv/schema/dpv-27560#record-eu-gdpr"
)

// node is an object of JSON-LD.
type node = map[string]any

// context is the JSON-LD context of receipts. It is complete: no other one is loaded.
func context() node {
	const security = "https://w3id.org/security#"
	return node{
		"dpv": "https://w3id.org/dpv#", "eu-gdpr": "https://w3id.org/dpv/legal/eu/gdpr#", "pd": "https://w3id.org/dpv/pd#",
		"dct": "http://purl.org/dc/terms/", "schema": "https://schema.org/", "skos": "http://www.w3.org/2004/02/skos/core#",
		"rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "xsd": "http://www.w3.org/2001/XMLSchema#",
		"proof":              node{"@id": security + "proof", "@type": "@id", "@container": "@graph"},
		"type":               "@type",
		"DataIntegrityProof": security + "DataIntegrityProof",
		"cryptosuite":        node{"@id": security + "cryptosuite", "@type": security + "cryptosuiteString"},
		"created":            node{"@id": "dct:created", "@type": "xsd:dateTime"},
		"proofPurpose":       node{"@id": security + "proofPurpose", "@type": "@vocab"},
		"proofValue":         node{"@id": security + "proofValue", "@type": security + "multibase"},
		"verificationMethod": node{"@id": security + "verificationMethod", "@type": "@id"},
		"assertionMethod":    security + "assertionMethod",
	}
}

func ref(id string) node { return node{"@id": id} }

func at(t time.Time) node {
	return node{"@type": "xsd:dateTime", "@value": t.UTC().Format("2006-01-02T15:04:05Z")}
}

func urn(uuid string) string { return "urn:uuid:" + uuid }

// Build makes a receipt without its signature.
func Build(in Input) map[string]any {
	return node{
		"@context": context(), "@id": urn(in.ReceiptID), "@type": "dpv:ConsentReceipt",
		"dct:identifier": in.ReceiptID, "dpv:hasIdentifier": in.ReceiptID, "dct:conformsTo": ref(ProfileReceipt), "dct:created": at(in.CreatedAt),
		"dct:publisher": ref(in.Controller.ID), "dpv:hasRecordOfActivity": in.record(),
		"dct:provenance": node{
			"@type": "dct:ProvenanceStatement", "dct:conformsTo": ref("https://c2sp.org/tlog-proof"),
			"rdf:value": node{"@type": "@json", "@value": in.Ledger},
		},
	}
}

// record is the consent record (DPV guide, §8).
func (in Input) record() node {
	subject := node{"@id": urn(in.SubjectID), "@type": "dpv:DataSubject", "dct:identifier": in.SubjectID, "dpv:hasIdentifier": in.SubjectID}
	if in.Minor {
		subject["@type"] = []string{"dpv:DataSubject", "dpv:Child"}
	}
	r := node{
		"@id": urn(in.RecordID), "@type": "dpv:ConsentRecord", "dct:identifier": in.RecordID, "dpv:hasIdentifier": in.RecordID,
		"dct:conformsTo": ref(ProfileRecord), "dpv:hasDataSubject": subject, "dpv:hasDataController": ref(in.Controller.ID),
		"dpv:hasJurisdiction": node{"@type": "dpv:Jurisdiction", "dct:identifier": cmp.Or(in.Jurisdiction, NotStated)},
		"dpv:hasNotice":       in.notice(), "dpv:hasProcess": in.process(), "dpv:hasConsentStatus": in.statuses(),
		"dpv:hasEntity":    []node{in.Controller.entity("dpv:DataController"), in.Authority.entity("dpv:DataProtectionAuthority")},
		"dpv:hasAuthority": ref(in.Authority.ID),
	}
	if in.CollectionPlace != "" {
		r["dpv:hasContext"] = node{"@type": "dpv:Context", "dct:description": in.CollectionPlace}
	}
	return r
}

// notice is what the person was shown (§8.2), or where the operator says so if it is not proven.
func (in Input) notice() node {
	n := node{"@type": "dpv:ConsentNotice", "dct:language": cmp.Or(in.Notice.Language, "und")}
	switch {
	case in.Notice.ID != "":
		n["dct:identifier"] = in.Notice.ID + "@" + in.Notice.Version
	case in.Notice.Version != "":
		n["dct:identifier"] = in.Notice.Version
	default:
		n["dct:identifier"] = cmp.Or(in.PrivacyPolicy, NotStated)
	}
	if in.PrivacyPolicy != "" {
		n["schema:url"] = in.PrivacyPolicy
	}
	if in.Notice.Hash != "" {
		n["schema:sha256"] = in.Notice.Hash
	}
	if !in.Notice.ServedAt.IsZero() {
		n["dct:date"] = at(in.Notice.ServedAt)
	}
	return n
}

// process is what is done with the data (§8.3).
func (in Input) process() node {
	recipients := make([]node, 0, len(in.Purpose.Recipients))
	for _, name := range stated(in.Purpose.Recipients...) {
		recipients = append(recipients, node{"@type": "dpv:Recipient", "dpv:hasName": name})
	}
	return node{
		"@type": "dpv:Process",
		"dpv:hasPurpose": node{
			"@type": "dpv:Purpose", "dct:identifier": in.Purpose.ID, "schema:version": strconv.FormatInt(in.Purpose.Version, 10),
			"dct:description": cmp.Or(in.Purpose.Description, NotStated), "skos:broader": ref(in.Purpose.Category),
		},
		"dpv:hasService":    node{"@type": "dpv:Service", "dct:title": in.Scope},
		"dpv:hasLegalBasis": []node{in.legalBasis(), ref("dpv:ExpressedConsent")}, "dpv:hasPersonalData": in.personalData(),
		"dpv:hasProcessing": []node{ref("dpv:Collect"), ref("dpv:Store"), ref("dpv:Use")},
		"dpv:hasDataSource": node{"@type": "dpv:DataSubjectDataSource", "dpv:hasProcessing": ref("dpv:Collect")},
		"dpv:hasStorageCondition": []node{
			{"@type": "dpv:StorageLocation", "dpv:hasLocation": locations(in.StorageLocations)},
			{"@type": "dpv:StorageDuration", "dpv:hasDuration": duration(in.Purpose.Retention)},
		},
		"dpv:hasProcessingCondition": node{"@type": "dpv:ProcessingLocation", "dpv:hasLocation": locations(in.ProcessingLocations)},
		"dpv:hasRule":                node{"@type": "dpv:Rule", "dct:description": cmp.Or(in.GeographicRestrictions, "none")},
		"dpv:hasRecipient":           recipients,
		"dpv:hasConsentControl": node{
			"@type": []string{"dpv:ConsentControl", "dpv:WithdrawConsent"}, "dpv:isExercisedAt": in.Base + "/v1/consents/" + in.RecordID + "/revoke",
		},
		"dpv:hasRight": in.rights(),
	}
}

// legalBasis is the legal basis: a term of DPV's extension for the GDPR, or another law's by name.
func (in Input) legalBasis() node {
	if basis := in.Purpose.LegalBasis; strings.HasPrefix(basis, "eu-gdpr:") {
		return ref(basis)
	}
	return node{"@type": "dpv:LegalBasis", "dct:identifier": cmp.Or(in.Purpose.LegalBasis, NotStated)}
}

// specialCategory is the term of data that GDPR Art. 9 protects.
const specialCategory = "dpv:SpecialCategoryPersonalData"

// personalData are the categories of data, each with whether it is optional and whether it is of a special category (§8.3.3).
func (in Input) personalData() []node {
	categories := in.Purpose.Data
	if len(categories) == 0 {
		categories = []string{"dpv:PersonalData"}
	}
	list := make([]node, len(categories))
	for i, category := range categories {
		list[i] = node{
			"@type": "dpv:PersonalData", "dct:identifier": category, "skos:broader": ref(category), "dpv:hasNecessity": ref("dpv:Required"),
			"schema:additionalProperty": node{
				"@type": "schema:PropertyValue", "schema:propertyID": "special_pii_category", "schema:value": category == specialCategory,
			},
		}
		if category == specialCategory {
			list[i]["@type"] = []string{"dpv:PersonalData", specialCategory}
		}
	}
	return list
}

// locations are places by their ISO 3166 codes.
func locations(codes []string) []node {
	var list []node
	for _, code := range stated(codes...) {
		list = append(list, node{"@type": "dpv:Location", "dct:identifier": code})
	}
	return list
}

// duration is a retention: an ISO 8601 duration, or what ends it in words.
func duration(retention string) node {
	if len(retention) > 1 && retention[0] == 'P' && strings.Trim(retention[1:], "0123456789YMWDTHS.") == "" {
		return node{"@type": "dpv:TemporalDuration", "rdf:value": retention}
	}
	return node{"@type": "dpv:UntilEventDuration", "rdf:value": cmp.Or(retention, NotStated)}
}

// rights are the person's rights, and where each is exercised (§8.3.10).
func (in Input) rights() []node {
	requests := in.Base + "/v1/privacy/requests"
	list := []node{}
	for _, right := range []struct{ term, title, at string }{
		{"eu-gdpr:A7-3", "Right to withdraw consent", in.Base + "/v1/consents/" + in.RecordID + "/revoke"},
		{"eu-gdpr:A15", "Right of access", requests},
		{"eu-gdpr:A16", "Right to rectification", requests},
		{"eu-gdpr:A17", "Right to erasure", requests},
		{"eu-gdpr:A18", "Right to restriction of processing", cmp.Or(in.Controller.Email, in.Controller.URL, in.Controller.Address, NotStated)},
		{"eu-gdpr:A20", "Right to data portability", requests},
		{"eu-gdpr:A21", "Right to object", cmp.Or(in.Controller.Email, in.Controller.URL, in.Controller.Address, NotStated)},
		{"eu-gdpr:A77", "Right to lodge a complaint with a supervisory authority", cmp.Or(in.Authority.URL, in.Authority.Name, NotStated)},
	} {
		list = append(list, node{"@type": []string{"dpv:DataSubjectRight", right.term}, "dct:title": right.title, "dpv:isExercisedAt": right.at})
	}
	return list
}

// entity is a party (§8.4).
func (p Party) entity(role string) node {
	contact := node{"@type": "schema:ContactPoint"}
	for name, value := range map[string]string{"schema:email": p.Email, "schema:telephone": p.Phone, "schema:url": p.URL} {
		if value != "" {
			contact[name] = value
		}
	}
	if len(contact) == 1 {
		contact["schema:description"] = NotStated
	}
	return node{
		"@id": p.ID, "@type": []string{"dpv:LegalEntity", role}, "dpv:hasIdentifier": p.ID, "dpv:hasName": cmp.Or(p.Name, NotStated),
		"dpv:hasAddress": node{"@type": "schema:PostalAddress", "schema:streetAddress": cmp.Or(p.Address, NotStated)}, "dpv:hasContact": contact,
	}
}

// stateOf is the state that a change leads to, as a term of DPV.
func stateOf(change string) string {
	switch change {
	case "granted":
		return "dpv:ConsentGiven"
	case "refused":
		return "dpv:ConsentRefused"
	case "revoked":
		return "dpv:ConsentWithdrawn"
	case "expired":
		return "dpv:ConsentExpired"
	}
	return "dpv:ConsentStatusInvalidForProcessing"
}

// statuses are the events of the consent, oldest first (§8.5).
func (in Input) statuses() []node {
	list := make([]node, 0, len(in.Events))
	for _, e := range in.Events {
		by := []node{ref(urn(in.SubjectID))}
		switch {
		case e.ByController:
			by = []node{ref(in.Controller.ID)}
		case in.Guardian != "":
			by = append(by, node{"@type": "dpv:GuardianOfDataSubject", "dpv:hasName": in.Guardian})
		}
		list = append(list, node{
			"@type": []string{stateOf(e.Change), "dpv:ExpressedConsent"}, "dct:description": e.Change, "dpv:isIndicatedAtTime": at(e.At),
			"dpv:isIndicatedBy": by, "dpv:hasIndicationMethod": cmp.Or(e.Method, in.Method),
			"dpv:hasDuration": node{"@type": "dpv:UntilTimeDuration", "rdf:value": at(in.ExpiresAt)},
		})
	}
	return list
}
