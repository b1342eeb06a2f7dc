-- What is said in parties, matches and between friends: the newest of each channel.
CREATE TABLE chat_heads (
    -- A byte for the kind, then the id of party or match, or those of two players in order.
    channel  BLOB    NOT NULL PRIMARY KEY,
    last_seq INTEGER NOT NULL
) STRICT;

CREATE TABLE chat_messages (
    channel    BLOB    NOT NULL,
    seq        INTEGER NOT NULL,
    -- Made by the client: sent twice it is one message.
    message_id BLOB    NOT NULL,
    sender_id  BLOB    NOT NULL REFERENCES accounts (player_id),
    body       TEXT    NOT NULL,
    at_ms      INTEGER NOT NULL,
    PRIMARY KEY (channel, seq),
    UNIQUE (channel, message_id)
) STRICT;
CREATE INDEX chat_messages_by_sender ON chat_messages (sender_id);
CREATE INDEX chat_messages_by_age ON chat_messages (at_ms);

-- Whom a player does not want to read, although it does not block them.
CREATE TABLE mutes (
    player_id BLOB    NOT NULL REFERENCES accounts (player_id),
    other_id  BLOB    NOT NULL REFERENCES accounts (player_id),
    at_ms     INTEGER NOT NULL,
    PRIMARY KEY (player_id, other_id)
) STRICT;
CREATE INDEX mutes_by_other ON mutes (other_id);
