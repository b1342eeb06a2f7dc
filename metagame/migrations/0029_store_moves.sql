-- That this database was filled from a SQLite file, written in the transaction that filled it: whoever asks again learns that it was done.
CREATE TABLE store_moves (
    -- Hash over everything that was moved, as 64 hexadecimal digits.
    content     TEXT    NOT NULL PRIMARY KEY,
    moved_rows  INTEGER NOT NULL,
    moved_at_ms INTEGER NOT NULL
) STRICT;
