package providers

import (
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/golang-jwt/jwt/v5"

	"github.com/weftmesh/weft/mesh"
)

// FCMConfig is how push messages are sent to Android and web apps of Firebase. Without credentials, it is not used.
type FCMConfig struct {
	// Credentials is the service account's key in Google's JSON form, CredentialsFile a file with it; one of both.
	Credentials     mesh.Secret `koanf:"credentials"`
	CredentialsFile string      `koanf:"credentials_file"`
	// BaseURL is the API's address; empty for Google's own. The token endpoint's is in the credentials.
	BaseURL string `koanf:"base_url"`
}

// Enabled reports whether the provider is used.
func (c FCMConfig) Enabled() bool { return c.Credentials != "" || c.CredentialsFile != "" }

// Check returns a mesh.SettingError for each invalid setting. It reads the credentials.
func (c FCMConfig) Check() error {
	if !c.Enabled() {
		return nil
	}
	errs := []error{checkBaseURL("notification.fcm.base_url", c.BaseURL)}
	if c.Credentials != "" && c.CredentialsFile != "" {
		errs = append(errs, mesh.InvalidSetting("notification.fcm.credentials", "and notification.fcm.credentials_file: only one may be set"))
	} else if _, err := c.account(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// serviceAccount is what is used of a service account's key file.
type serviceAccount struct {
	Type         string `json:"type"`
	ProjectID    string `json:"project_id"`
	PrivateKeyID string `json:"private_key_id"`
	PrivateKey   string `json:"private_key"`
	ClientEmail  string `json:"client_email"`
	TokenURI     string `json:"token_uri"`
	key          *rsa.PrivateKey
}

// account reads the credentials. Its error is a mesh.SettingError that quotes nothing of them.
func (c FCMConfig) account() (serviceAccount, error) {
	setting, text := "notification.fcm.credentials", []byte(c.Credentials.Reveal())
	if c.CredentialsFile != "" {
		setting = "notification.fcm.credentials_file"
		var err error
		if text, err = readSecretFile(setting, c.CredentialsFile); err != nil {
			return serviceAccount{}, err
		}
	}
	var a serviceAccount
	if json.Unmarshal(text, &a) != nil {
		return a, mesh.InvalidSetting(setting, "is no JSON: it must be the key of a service account")
	}
	for name, value := range map[string]string{"project_id": a.ProjectID, "client_email": a.ClientEmail, "private_key": a.PrivateKey} {
		if value == "" {
			return a, mesh.InvalidSetting(setting, "has no %s: it must be the key of a service account", name)
		}
	}
	if a.TokenURI == "" {
		a.TokenURI = "https://oauth2.googleapis.com/token"
	}
	if checkBaseURL(setting, a.TokenURI) != nil {
		return a, mesh.InvalidSetting(setting, "has a token_uri that is no URL")
	}
	key, err := jwt.ParseRSAPrivateKeyFromPEM([]byte(a.PrivateKey))
	if err != nil {
		return a, mesh.InvalidSetting(setting, "has a private_key that is no RSA key in PEM")
	}
	a.key = key
	return a, nil
}

// maxSecretFile bounds a file with a key in bytes.
const maxSecretFile = 64 << 10

// readSecretFile reads a file that a setting names.
func readSecretFile(setting, path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, mesh.InvalidSetting(setting, "cannot be read: %v", err)
	}
	if info.Size() > maxSecretFile || !info.Mode().IsRegular() {
		return nil, mesh.InvalidSetting(setting, "is no file of at most %d bytes", maxSecretFile)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, mesh.InvalidSetting(setting, "cannot be read: %v", fmt.Errorf("%w", err))
	}
	return text, nil
}
