package integration

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/weftmesh/weft/actors/seal"

	"github.com/weftmesh/weft/actors/integration/manifest"
)

// vault seals and opens the secrets of connections. What it seals opens in that row and column of that user only.
type vault struct {
	sealer    *seal.Sealer
	providers map[string]ProviderConfig
}

// tokenSet is what is sealed of a provider's tokens.
type tokenSet struct {
	Access  string `json:"access_token,omitempty"`
	Refresh string `json:"refresh_token,omitempty"`
	Scope   string `json:"scope,omitempty"`
}

// sealCredentials seals credentials into a connection.
func (v vault) sealCredentials(c *connectionRow, credentials map[string]any) error {
	if credentials == nil {
		credentials = map[string]any{}
	}
	plain, err := json.Marshal(credentials)
	if err != nil {
		return errors.New("encoding credentials failed") // the cause may quote them
	}
	c.Credentials, err = v.sealer.Seal(plain, connectionContext(c, "credentials"))
	return err
}

// sealTokens seals tokens into a connection.
func (v vault) sealTokens(c *connectionRow, tokens tokenSet) error {
	plain, err := json.Marshal(tokens) //nolint:gosec // it is sealed next
	if err != nil {
		return errors.New("encoding tokens failed") // the cause may quote them
	}
	c.Tokens, err = v.sealer.Seal(plain, connectionContext(c, "tokens"))
	return err
}

// open returns a connection as manifests use it, with credentials and tokens in clear, and its tokens.
func (v vault) open(c connectionRow) (manifest.Connection, tokenSet, error) {
	var tokens tokenSet
	plain, err := v.sealer.Open(c.Credentials, connectionContext(&c, "credentials"))
	if err != nil {
		return manifest.Connection{}, tokens, fmt.Errorf("opening the credentials of connection %s: %w", c.ID, err)
	}
	credentials, err := decodeObject(plain)
	if err != nil {
		return manifest.Connection{}, tokens, fmt.Errorf("decoding the credentials of connection %s failed", c.ID)
	}
	if len(c.Tokens) > 0 {
		if plain, err = v.sealer.Open(c.Tokens, connectionContext(&c, "tokens")); err != nil {
			return manifest.Connection{}, tokens, fmt.Errorf("opening the tokens of connection %s: %w", c.ID, err)
		}
		if err := json.Unmarshal(plain, &tokens); err != nil {
			return manifest.Connection{}, tokens, fmt.Errorf("decoding the tokens of connection %s failed", c.ID)
		}
		credentials["access_token"] = tokens.Access
		if tokens.Refresh != "" {
			credentials["refresh_token"] = tokens.Refresh
		}
	}
	return manifest.Connection{
		Auth: c.Auth, Settings: c.settings(), Credentials: credentials, BaseURL: v.providers[c.Provider].BaseURL,
	}, tokens, nil
}

// connectionContext is the associated data of a sealed column of a connection.
func connectionContext(c *connectionRow, column string) []byte {
	return []byte("integration|" + c.UserID + "|" + c.ID + "|" + column)
}
