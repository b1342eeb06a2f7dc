-- The books: every movement of money and goods. Nothing here is changed or removed, but the wallets, which are sums.

-- What a player has of a currency. System accounts have no row, or everybody would wait for it: their balances are sums of
-- postings. No reference to accounts: the books outlast them, under ids that mean nothing any more.
CREATE TABLE wallets (
    account   BLOB    NOT NULL,
    currency  TEXT    NOT NULL,
    balance   INTEGER NOT NULL,
    -- Counts the postings; the newest one's number.
    number    INTEGER NOT NULL,
    -- The newest posting's hash.
    last_hash BLOB    NOT NULL,
    -- 1 while the player owes: only what is taken back (refunds, disputes) leads there.
    debt      INTEGER NOT NULL,
    PRIMARY KEY (account, currency),
    CHECK (balance >= 0 OR debt = 1)
) STRICT;

CREATE TABLE journal (
    -- Made of the cause, so nothing can happen twice.
    journal_id BLOB    NOT NULL PRIMARY KEY,
    -- purchase:…, match:…, names one thing that happened.
    cause      TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    -- Who did it: player:…, system, operator:….
    actor      TEXT    NOT NULL,
    match_id   BLOB,
    -- JSON: goods that moved, versions of the rules.
    detail     TEXT    NOT NULL,
    at_ms      INTEGER NOT NULL,
    -- SHA-256 over all of this and the postings.
    entry_hash BLOB    NOT NULL
) STRICT;
CREATE INDEX journal_by_time ON journal (at_ms, journal_id);

CREATE TABLE postings (
    journal_id BLOB    NOT NULL REFERENCES journal (journal_id),
    line       INTEGER NOT NULL,
    account    BLOB    NOT NULL,
    currency   TEXT    NOT NULL,
    amount     INTEGER NOT NULL,
    -- Of the wallet, from 1; 0 in system accounts, and so are balance and hash.
    number     INTEGER NOT NULL,
    balance    INTEGER NOT NULL,
    -- SHA-256 over the wallet's posting before and this entry.
    hash       BLOB    NOT NULL,
    PRIMARY KEY (journal_id, line)
) STRICT;
-- A wallet's chain cannot fork.
CREATE UNIQUE INDEX postings_chain ON postings (account, currency, number) WHERE number > 0;

-- Merkle roots over the journal, one for each stretch of time, chained.
CREATE TABLE ledger_seals (
    number       INTEGER NOT NULL PRIMARY KEY,
    from_ms      INTEGER NOT NULL,
    until_ms     INTEGER NOT NULL,
    entries      INTEGER NOT NULL,
    root         BLOB    NOT NULL,
    seal_hash    BLOB    NOT NULL,
    sealed_at_ms INTEGER NOT NULL
) STRICT;
-- @postgres
-- Wallets are updated in place: room on each page keeps their index as it is.
ALTER TABLE wallets SET (fillfactor = 70);
-- @both
