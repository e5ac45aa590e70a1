package subjects

// LedgerCheckpoint returns the ledger's signed tree head.
var LedgerCheckpoint = declare(Endpoint[Empty, Document]{
	Subject: "weft.v1.consent.ledger_checkpoint", Route: "GET /v1/consents/ledger/checkpoint", Access: Public,
	Produces: "text/plain; charset=utf-8",
	Summary:  "The ledger's checkpoint",
	Doc: "The latest checkpoint of the transparency log of consents (C2SP tlog-checkpoint): origin, number of entries and root, signed by the " +
		"ledger's key and cosigned by its witnesses, if it has some. The log is served as C2SP tlog-tiles below this path's parent.",
})

// LedgerBase returns the checkpoint of the entries that were pruned.
var LedgerBase = declare(Endpoint[Empty, Document]{
	Subject: "weft.v1.consent.ledger_base", Route: "GET /v1/consents/ledger/base", Access: Public,
	Produces: "text/plain; charset=utf-8",
	Summary:  "Where the ledger begins",
	Doc: "The signed checkpoint of the entries that were pruned after seven years: the ledger has the entries from its size on. not_found while the ledger has " +
		"all its entries.",
})

// LedgerKey returns the ledger's public key.
var LedgerKey = declare(Endpoint[Empty, Document]{
	Subject: "weft.v1.consent.ledger_key", Route: "GET /v1/consents/ledger/key", Access: Public,
	Produces: "text/plain; charset=utf-8",
	Summary:  "The ledger's public key",
	Doc: "The verifier key of the ledger (C2SP signed-note, Verifier keys). Keep it elsewhere: who verifies the ledger must not take the key from " +
		"the same place.",
})

// LedgerTileRequest names a tile or an entry bundle.
type LedgerTileRequest struct {
	Path string `json:"path" in:"path" maxLength:"64" doc:"<L>/<N>[.p/<W>] or entries/<N>[.p/<W>] (C2SP tlog-tiles)."`
}

// LedgerTile returns a tile of the ledger's Merkle tree, or a bundle of its entries.
var LedgerTile = declare(Endpoint[LedgerTileRequest, Document]{
	Subject: "weft.v1.consent.ledger_tile", Route: "GET /v1/consents/ledger/tile/{path...}", Access: Public,
	Produces: "application/octet-stream",
	Summary:  "A tile of the ledger",
	Doc: "A tile of the ledger's Merkle tree, or a bundle of entries (C2SP tlog-tiles). An entry is the SHA-256 of what the ledger has recorded, which " +
		"is ciphertext; nothing about a person can be read from it.",
})

// LedgerProofRequest asks for an inclusion proof or a consistency proof.
type LedgerProofRequest struct {
	EntryID string `json:"entry_id,omitempty" in:"query" maxLength:"36" doc:"The id of an entry, from get_consent_history: proves that the ledger has it."`
	From    int64  `json:"from,omitempty" in:"query" minimum:"1" doc:"The size of an earlier tree: proves that it is a prefix of the tree of size."`
	Size    int64  `json:"size,omitempty" in:"query" minimum:"1" doc:"With from: the size of the later tree. Default: the checkpoint's."`
}

// LedgerProofs is an inclusion proof or a consistency proof.
type LedgerProofs struct {
	Index      *int64   `json:"index,omitempty" doc:"The number of the entry's leaf, from 0."`
	From       int64    `json:"from,omitempty"`
	Size       int64    `json:"size" doc:"The size of the tree in which the proof ends."`
	Hashes     []string `json:"hashes" doc:"The proof (RFC 6962 §2.1.1, §2.1.2), in Base64."`
	Checkpoint string   `json:"checkpoint,omitempty" doc:"The signed checkpoint of the tree, for an inclusion proof."`
	Proof      string   `json:"proof,omitempty" doc:"The inclusion proof in the form c2sp.org/tlog-proof@v1, which can be verified offline."`
}

// LedgerProof proves that the ledger has an entry, or that it has only grown.
var LedgerProof = declare(Endpoint[LedgerProofRequest, LedgerProofs]{
	Subject: "weft.v1.consent.ledger_proof", Route: "GET /v1/consents/ledger/proof", Access: Public,
	Summary: "A proof from the ledger",
	Doc: "With entry_id, proves that the tree of the checkpoint has the entry (RFC 6962 §2.1.1); not_found until it is in the ledger, usually within a " +
		"second. With from, proves that the tree of that size is a prefix of a later one (RFC 6962 §2.1.2).",
})

// LedgerRecordsRequest selects a part of the ledger.
type LedgerRecordsRequest struct {
	From  int64 `json:"from,omitempty" in:"query" minimum:"0" doc:"The number of the first entry."`
	Limit int   `json:"limit,omitempty" in:"query" minimum:"1" maximum:"500" doc:"Default 200. An answer may have fewer; an empty one is the end."`
}

// LedgerRecord is an entry of the ledger with what SQL has recorded of it.
type LedgerRecord struct {
	Index   int64  `json:"index" doc:"The number of the entry's leaf."`
	EntryID string `json:"entry_id"`
	Entry   []byte `json:"entry" doc:"The entry, in Base64: JSON, its personal part encrypted. The leaf is its SHA-256."`
	Text    string `json:"text,omitempty" doc:"What SQL has of the consent and the change; absent once the person was erased."`
	Salt    []byte `json:"salt,omitempty" doc:"The entry's commitment is the SHA-256 of the salt and the text."`
}

// LedgerRecordList is a part of the ledger.
type LedgerRecordList struct {
	Items []LedgerRecord `json:"items"`
}

// ListLedgerRecords lists the ledger's entries with what SQL has recorded.
var ListLedgerRecords = declare(Endpoint[LedgerRecordsRequest, LedgerRecordList]{
	Subject: "weft.v1.consent.list_ledger_records", Route: "GET /v1/consents/ledger/records", Access: Role(RoleAdmin),
	Summary: "The ledger's entries with their records",
	Doc: "Lists the entries of the ledger in order, each as the stream has it and with the record of it in SQL. `weft ledger verify` checks with them that " +
		"neither was changed.",
})
