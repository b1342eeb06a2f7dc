-- Keys that sign access tokens; the secret halves are sealed under the key file. All that are here are published.
CREATE TABLE signing_keys (
    kid           TEXT    NOT NULL PRIMARY KEY,
    public_key    BLOB    NOT NULL,
    sealed        BLOB    NOT NULL,
    signs_from_ms INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;
