package notification

import (
	"errors"

	"github.com/weftmesh/weft/actors/langtag"
	"github.com/weftmesh/weft/mesh"
)

// TemplatesConfig has the settings of templates.
type TemplatesConfig struct {
	// DefaultLocale is the language (BCP 47) of notifications whose template has none of the reader's languages.
	DefaultLocale string `koanf:"default_locale"`
	// AppName is app.name in templates: what the mails of this installation call it.
	AppName string `koanf:"app_name"`
	// MaxTemplates is how many templates may be stored, besides those that weft ships.
	MaxTemplates int `koanf:"max_templates"`
}

// DefaultTemplatesConfig returns the settings of templates.
func DefaultTemplatesConfig() TemplatesConfig {
	return TemplatesConfig{DefaultLocale: "en", AppName: "weft", MaxTemplates: 500}
}

func (c TemplatesConfig) check() error {
	errs := []error{mesh.SettingAtLeast("notification.templates.max_templates", c.MaxTemplates, 0)}
	if canonical, ok := langtag.Canonical(c.DefaultLocale); !ok || canonical != c.DefaultLocale {
		errs = append(errs, mesh.InvalidSetting("notification.templates.default_locale",
			"is %q, and must be a BCP 47 tag in its canonical form, such as en or de-CH", c.DefaultLocale))
	}
	if c.AppName == "" || len(c.AppName) > 100 {
		errs = append(errs, mesh.InvalidSetting("notification.templates.app_name", "is %q, and must have 1 to 100 bytes", c.AppName))
	}
	return errors.Join(errs...)
}
