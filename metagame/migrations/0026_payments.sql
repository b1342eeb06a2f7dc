-- Orders that are paid with money of the world, and what the payment provider says of them.
CREATE TABLE orders (
    -- Made of the player and its key, so the same request is the same order.
    order_id        BLOB    NOT NULL PRIMARY KEY,
    -- No reference to accounts: the books outlast them.
    player_id       BLOB    NOT NULL,
    request_hash    BLOB    NOT NULL,
    offer           TEXT    NOT NULL,
    quantity        INTEGER NOT NULL,
    catalog_version INTEGER NOT NULL,
    -- The price of all of it: ISO 4217 in small letters, minor units.
    money           TEXT    NOT NULL,
    amount          INTEGER NOT NULL,
    -- JSON: what it gives, as it was then; what is known of its payment; where its goods are.
    gives           TEXT    NOT NULL,
    facts           TEXT    NOT NULL,
    position        TEXT    NOT NULL,
    state           TEXT    NOT NULL,
    -- Entries of the books so far.
    entries         INTEGER NOT NULL,
    -- 1 while it counts against the limit and the stock of its offer, and within which period.
    counted         INTEGER NOT NULL,
    period_begin_ms INTEGER NOT NULL,
    -- The provider's: the session and where the player pays, the payment once there is one.
    session_id      TEXT,
    session_url     TEXT,
    payment_intent  TEXT,
    -- Calls to the provider that it has answered with a failure: each further call is another one to it.
    failures        INTEGER NOT NULL,
    made_at_ms      INTEGER NOT NULL,
    expires_at_ms   INTEGER NOT NULL,
    -- When the provider is asked what became of it; NULL: not any more.
    look_at_ms      INTEGER,
    looks           INTEGER NOT NULL
) STRICT;
CREATE INDEX orders_of_player ON orders (player_id, made_at_ms, order_id);
CREATE INDEX orders_by_payment ON orders (payment_intent) WHERE payment_intent IS NOT NULL;
CREATE INDEX orders_to_look_at ON orders (look_at_ms) WHERE look_at_ms IS NOT NULL;

-- Events of the provider, each once. What is personal in them is not kept.
CREATE TABLE payment_events (
    event_id       TEXT    NOT NULL PRIMARY KEY,
    kind           TEXT    NOT NULL,
    happened_at_s  INTEGER NOT NULL,
    payment_intent TEXT,
    -- NULL while it is not known which order it concerns.
    order_id       BLOB,
    -- JSON: what it says.
    news           TEXT    NOT NULL,
    at_ms          INTEGER NOT NULL
) STRICT;
CREATE INDEX payment_events_unclaimed ON payment_events (payment_intent) WHERE order_id IS NULL;
CREATE INDEX payment_events_by_time ON payment_events (at_ms);
