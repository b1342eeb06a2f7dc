-- What operators decide while metagame runs (maintenance, minimum builds), as JSON by name.
CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
