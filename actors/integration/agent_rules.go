package integration

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/subjects"
)

const (
	// agentApprovalTTL is how long an approval request can be decided and used.
	agentApprovalTTL = time.Hour
	// maxAgentApprovals bounds a user's requests that have not expired.
	maxAgentApprovals = 100
	// maxAgentInput bounds the input of an agent's call, in bytes.
	maxAgentInput = 64 << 10
	// maxMatchDescription is the length in bytes to which a description is cut in a list of matches.
	maxMatchDescription = 300
	// defaultMatches is how many matches a search returns unless it asks for another number.
	defaultMatches = 20
)

// decideForAgent returns the decision of the first rule whose pattern matches the operation. Without one reads are allowed, and the
// rest asks. A safety that depends on the input is not a read.
func decideForAgent(rules []subjects.AgentRule, operation string, safety egress.Safety) string {
	for _, rule := range rules {
		if matchesGlob(rule.Pattern, operation) {
			return rule.Decision
		}
	}
	if safety == egress.Read {
		return subjects.AgentAllow
	}
	return subjects.AgentAsk
}

// matchesGlob reports whether a text matches a pattern in which * stands for any characters. It takes time proportional to the product
// of the lengths at most.
func matchesGlob(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	rest, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(rest, part)
		if !found {
			return false
		}
		rest = after
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}

// agentDigest identifies a call: operation, target and canonical input. None of the first two has a line break.
func agentDigest(operation, target string, input []byte) string {
	sum := sha256.Sum256(append([]byte(operation+"\n"+target+"\n"), input...))
	return hex.EncodeToString(sum[:])
}

// searchActions returns the actions of which each word is contained in id, title or description, or in those of the provider. Actions
// with more of the words in id and title come first. providers are sorted, and so are their actions.
func searchActions(providers []*manifest.Provider, r subjects.SearchActionsRequest) subjects.ActionMatches {
	type scored struct {
		subjects.ActionMatch
		score int
	}
	words := strings.Fields(strings.ToLower(r.Query))
	found := []scored{}
	for _, p := range providers {
		if r.Provider != "" && r.Provider != p.ID {
			continue
		}
		about := strings.ToLower(p.ID + " " + p.Name + " " + p.Description + " " + p.Category)
		for _, action := range p.Actions {
			name := strings.ToLower(action.ID + " " + action.Title)
			text := name + " " + strings.ToLower(action.Description) + " " + about
			score, all := 0, true
			for _, word := range words {
				if strings.Contains(name, word) {
					score++
				}
				all = all && strings.Contains(text, word)
			}
			if all {
				found = append(found, scored{matchOf(p, action), score})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
	matches := subjects.ActionMatches{Items: []subjects.ActionMatch{}, Total: len(found)}
	for _, m := range found[:min(len(found), cmp.Or(r.Limit, defaultMatches))] {
		matches.Items = append(matches.Items, m.ActionMatch)
	}
	return matches
}

func matchOf(p *manifest.Provider, action *manifest.Action) subjects.ActionMatch {
	description := action.Description
	if len(description) > maxMatchDescription {
		description = strings.ToValidUTF8(description[:maxMatchDescription], "")
	}
	return subjects.ActionMatch{
		Provider: p.ID, Action: action.ID, Title: action.Title, Description: description, Safety: string(action.Safety),
	}
}
