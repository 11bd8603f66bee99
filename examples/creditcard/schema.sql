-- What terminals have on their receipts. It stands for their own memories: the
-- report is held against it, and nothing else reads it.
CREATE TABLE IF NOT EXISTS journal (
	id       TEXT PRIMARY KEY,
	day      TEXT NOT NULL,
	kind     TEXT NOT NULL,
	card     TEXT NOT NULL,
	merchant TEXT NOT NULL,
	amount   INTEGER NOT NULL,
	currency TEXT NOT NULL,
	at       TEXT NOT NULL
) STRICT;

-- The staging database: each transaction that arrived, once. The primary key is
-- what makes staging idempotent.
CREATE TABLE IF NOT EXISTS staged (
	id       TEXT PRIMARY KEY,
	day      TEXT NOT NULL,
	kind     TEXT NOT NULL CHECK (kind IN ('sale', 'refund')),
	card     TEXT NOT NULL,
	merchant TEXT NOT NULL,
	amount   INTEGER NOT NULL CHECK (amount > 0),
	currency TEXT NOT NULL,
	at       TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS staged_by_card ON staged (card, day);

-- What became of a transaction. There is one row for it or none, whatever the
-- queue delivers how often: the primary key is what makes settling idempotent.
CREATE TABLE IF NOT EXISTS outcomes (
	id      TEXT PRIMARY KEY REFERENCES staged (id),
	verdict TEXT NOT NULL CHECK (verdict IN ('settled', 'review')),
	rate    INTEGER NOT NULL, -- that was used: millionths of a euro cent for a minor unit
	cents   INTEGER NOT NULL, -- euro cents, above zero also for refunds
	fee     INTEGER NOT NULL  -- euro cents
) STRICT;

-- The suspicious ones, for a person to look at. They are not paid out.
CREATE TABLE IF NOT EXISTS review (
	id      TEXT PRIMARY KEY REFERENCES outcomes (id),
	reasons TEXT NOT NULL,
	message TEXT NOT NULL -- what the queue brought, which may not be what was staged
) STRICT;

-- What each merchant is owed, in euro cents. It grows in the transaction that
-- writes the outcomes; the report checks that it is their sum.
CREATE TABLE IF NOT EXISTS payouts (
	day      TEXT NOT NULL,
	merchant TEXT NOT NULL,
	sales    INTEGER NOT NULL, -- how many
	gross    INTEGER NOT NULL,
	refunds  INTEGER NOT NULL,
	fees     INTEGER NOT NULL,
	PRIMARY KEY (day, merchant)
) STRICT;
