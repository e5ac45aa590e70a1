-- The transparency log of consents (package ledger). One row.
CREATE TABLE ledger_state (
	id              INTEGER     NOT NULL PRIMARY KEY,
	-- The log's sealed signer key, and the verifier key that belongs to it.
	sealed_key      BYTEA       NOT NULL,
	verifier        TEXT        NOT NULL,
	-- The tree: a commit is fenced by its size. sequence is the last entry of the stream that has been looked at.
	size            BIGINT      NOT NULL,
	root            BYTEA       NOT NULL,
	sequence        BIGINT      NOT NULL,
	-- The checkpoint that is served, with the cosignatures of witnesses. Without enough of them it is behind the tree.
	checkpoint      TEXT        NOT NULL,
	checkpoint_size BIGINT      NOT NULL,
	-- The entries before base were pruned. base_checkpoint is the signed checkpoint of their tree.
	base            BIGINT      NOT NULL,
	base_checkpoint TEXT        NOT NULL
);

-- Tiles, and entry bundles under level -1. data is only extended.
CREATE TABLE ledger_tiles (
	level INTEGER NOT NULL,
	n     BIGINT  NOT NULL,
	data  BYTEA   NOT NULL,
	PRIMARY KEY (level, n)
);

CREATE TABLE ledger_leaves (
	entry_id VARCHAR(36) NOT NULL PRIMARY KEY,
	leaf     BIGINT      NOT NULL UNIQUE,
	sequence BIGINT      NOT NULL
);

CREATE INDEX ledger_leaves_by_sequence ON ledger_leaves (sequence);

-- The size of the tree that each witness has cosigned last.
CREATE TABLE ledger_witnesses (
	name VARCHAR(255) NOT NULL PRIMARY KEY,
	size BIGINT       NOT NULL
);
