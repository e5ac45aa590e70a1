package receipt

import (
	"cmp"
	"slices"
)

// kantaraVersion is the version of the Kantara Consent Receipt Specification (§4.3.1).
const kantaraVersion = "KI-CR-v1.1.0"

// Kantara is the receipt after the Kantara Consent Receipt Specification 1.1.0 (§4). It is not signed.
type Kantara struct {
	Version          string              `json:"version"`
	Jurisdiction     string              `json:"jurisdiction"`
	ConsentTimestamp int64               `json:"consentTimestamp"`
	CollectionMethod string              `json:"collectionMethod"`
	ConsentReceiptID string              `json:"consentReceiptID"`
	Language         string              `json:"language,omitempty"`
	PIIPrincipalID   string              `json:"piiPrincipalId"`
	PIIControllers   []kantaraController `json:"piiControllers"`
	PolicyURL        string              `json:"policyUrl"`
	Services         []kantaraService    `json:"services"`
	Sensitive        bool                `json:"sensitive"`
	SPICategories    []string            `json:"spiCat"`
}

type kantaraController struct {
	Name     string         `json:"piiController"`
	OnBehalf bool           `json:"onBehalf"`
	Contact  string         `json:"contact"`
	Address  kantaraAddress `json:"address"`
	Email    string         `json:"email"`
	Phone    string         `json:"phone"`
	URL      string         `json:"piiControllerUrl,omitempty"`
}

type kantaraAddress struct {
	Street string `json:"streetAddress"`
}

type kantaraService struct {
	Service  string           `json:"service"`
	Purposes []kantaraPurpose `json:"purposes"`
}

type kantaraPurpose struct {
	Purpose              string   `json:"purpose"`
	PurposeCategory      []string `json:"purposeCategory"`
	ConsentType          string   `json:"consentType"`
	PIICategory          []string `json:"piiCategory"`
	PrimaryPurpose       bool     `json:"primaryPurpose"`
	Termination          string   `json:"termination"`
	ThirdPartyDisclosure bool     `json:"thirdPartyDisclosure"`
	ThirdPartyName       string   `json:"thirdPartyName,omitempty"`
}

// BuildKantara makes a receipt after the Kantara specification. thirdParties are the recipients other than the controller.
func BuildKantara(in Input, thirdParties []string) Kantara {
	k := Kantara{
		Version: kantaraVersion, Jurisdiction: cmp.Or(in.Jurisdiction, NotStated), ConsentTimestamp: in.Events[0].At.Unix(), CollectionMethod: in.Method,
		ConsentReceiptID: in.ReceiptID, Language: in.Notice.Language, PIIPrincipalID: in.SubjectID, PolicyURL: cmp.Or(in.PrivacyPolicy, NotStated),
		PIIControllers: []kantaraController{{
			Name: cmp.Or(in.Controller.Name, NotStated), Contact: cmp.Or(in.Controller.Name, NotStated),
			Address: kantaraAddress{cmp.Or(in.Controller.Address, NotStated)}, Email: cmp.Or(in.Controller.Email, NotStated),
			Phone: cmp.Or(in.Controller.Phone, NotStated), URL: in.Controller.URL,
		}},
		Sensitive: slices.Contains(in.Purpose.Data, specialCategory), SPICategories: []string{},
	}
	if k.Sensitive {
		k.SPICategories = []string{specialCategory}
	}
	p := kantaraPurpose{
		Purpose: cmp.Or(in.Purpose.Description, NotStated), PurposeCategory: []string{in.Purpose.Category}, ConsentType: "EXPLICIT",
		PIICategory: stated(in.Purpose.Data...), PrimaryPurpose: true, Termination: cmp.Or(in.Purpose.Retention, NotStated),
		ThirdPartyDisclosure: len(thirdParties) > 0,
	}
	for i, name := range thirdParties {
		if i > 0 {
			p.ThirdPartyName += "; "
		}
		p.ThirdPartyName += name
	}
	k.Services = []kantaraService{{Service: in.Scope, Purposes: []kantaraPurpose{p}}}
	return k
}
