package actortest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
)

// explainSQLite returns what is wrong with a statement's plan, and the indexes that it uses.
func (p Plans) explainSQLite(ctx context.Context, db *database.DB, s statement) (problems, indexes []string, err error) {
	rows, err := db.DB.DB.QueryContext(ctx, "EXPLAIN QUERY PLAN "+s.query)
	if err != nil {
		return nil, nil, fmt.Errorf("explaining %s: %w", s.query, err)
	}
	defer func() { _ = rows.Close() }()
	aliases := aliasesOf(s.query)
	partial, err := partialIndexesOf(ctx, db.DB)
	if err != nil {
		return nil, nil, err
	}
	whole := strings.Contains(s.query, " LIMIT ") && !strings.Contains(s.query, " WHERE ") // the first rows of a table
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			return nil, nil, err
		}
		words, index := strings.Fields(detail), ""
		if _, after, found := strings.Cut(detail, "INDEX "); found && (words[0] == "SCAN" || words[0] == "SEARCH") {
			index, _, _ = strings.Cut(after, " ")
			indexes = append(indexes, index)
		}
		switch {
		case words[0] == "SCAN" && len(words) > 1 && !whole && !partial[index] && p.isGrowing(aliases[words[1]]):
			problems = append(problems, detail)
		case strings.HasPrefix(detail, "USE TEMP B-TREE FOR ORDER BY"):
			problems = append(problems, detail)
		}
	}
	return problems, indexes, rows.Err()
}

// partialIndexesOf are SQLite's indexes of some rows of a table.
func partialIndexesOf(ctx context.Context, db bun.IDB) (map[string]bool, error) {
	var names []string
	err := db.NewRaw("SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE '% WHERE %'").Scan(ctx, &names)
	partial := map[string]bool{}
	for _, name := range names {
		partial[name] = true
	}
	return partial, err
}

// aliasesOf returns the tables of a statement by the names that it uses for them.
func aliasesOf(query string) map[string]string {
	aliases := map[string]string{}
	words := strings.Fields(strings.NewReplacer(`"`, "", "(", " ( ", ")", " ) ", ",", " , ").Replace(query))
	for i, word := range words {
		if word != "FROM" && word != "JOIN" && word != "UPDATE" && word != "INTO" || i+1 >= len(words) || words[i+1] == "(" {
			continue
		}
		table := words[i+1]
		if _, known := aliases[table]; !known {
			aliases[table] = table
		}
		if i+3 < len(words) && words[i+2] == "AS" {
			aliases[words[i+3]] = table
		}
	}
	return aliases
}

// postgresPlan is a node of EXPLAIN (FORMAT JSON).
type postgresPlan struct {
	Node      string         `json:"Node Type"`
	Table     string         `json:"Relation Name"`
	Index     string         `json:"Index Name"`
	Condition string         `json:"Index Cond"`
	Filter    string         `json:"Filter"`
	Rows      float64        `json:"Plan Rows"`
	Plans     []postgresPlan `json:"Plans"`
}

// page is how many rows a sort may be of: those of a page, and a margin for estimates.
const page = 1000

// explainPostgres returns what is wrong with a statement's plan, and the indexes that it uses.
func (p Plans) explainPostgres(ctx context.Context, db *database.DB, s statement) (problems, indexes []string, err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.Tx.ExecContext(ctx, "SET LOCAL enable_seqscan = off"); err != nil {
		return nil, nil, err
	}
	var text string
	if err := tx.Tx.QueryRowContext(ctx, "EXPLAIN (FORMAT JSON) "+s.query).Scan(&text); err != nil {
		return nil, nil, fmt.Errorf("explaining %s: %w", s.query, err)
	}
	var plans []struct{ Plan postgresPlan }
	if err := json.Unmarshal([]byte(text), &plans); err != nil {
		return nil, nil, err
	}
	partial, err := partialIndexes(ctx, tx)
	if err != nil {
		return nil, nil, err
	}
	if err := tx.Commit(); err != nil {
		return nil, nil, err
	}
	var visit func(node postgresPlan)
	visit = func(node postgresPlan) {
		if node.Index != "" {
			indexes = append(indexes, node.Index)
		}
		switch {
		case node.Node == "Seq Scan" && p.isGrowing(node.Table):
			problems = append(problems, "Seq Scan on "+node.Table+" "+node.Filter)
		case (node.Node == "Index Scan" || node.Node == "Index Only Scan") && node.Condition == "" && node.Filter != "" && !partial[node.Index] &&
			p.isGrowing(node.Table):
			problems = append(problems, "scan of all of "+node.Index+" "+node.Filter)
		case node.Node == "Sort" && node.Rows > page: // an incremental sort ends with its page
			problems = append(problems, fmt.Sprintf("%s of %.0f rows", node.Node, node.Rows))
		}
		for _, child := range node.Plans {
			visit(child)
		}
	}
	for _, plan := range plans {
		visit(plan.Plan)
	}
	return problems, indexes, nil
}

// partialIndexes are the indexes of some rows of a table, which are few: what is open, due or pending.
func partialIndexes(ctx context.Context, db bun.IDB) (map[string]bool, error) {
	var names []string
	err := db.NewRaw(`SELECT c.relname FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid WHERE i.indpred IS NOT NULL
		AND c.relnamespace = current_schema()::regnamespace`).Scan(ctx, &names)
	partial := map[string]bool{}
	for _, name := range names {
		partial[name] = true
	}
	return partial, err
}
