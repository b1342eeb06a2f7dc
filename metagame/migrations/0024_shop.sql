-- How often a player had a limited offer within the period that began then.
CREATE TABLE offer_counts (
    player_id       BLOB    NOT NULL,
    offer           TEXT    NOT NULL,
    period_begin_ms INTEGER NOT NULL,
    count           INTEGER NOT NULL,
    PRIMARY KEY (player_id, offer)
) STRICT;

-- How many of an offer with a stock are sold.
CREATE TABLE offer_stock (
    offer TEXT    NOT NULL PRIMARY KEY,
    sold  INTEGER NOT NULL
) STRICT;

-- Where players buy, for regional prices. Rarely changed: prices elsewhere are no reason to travel.
CREATE TABLE shop_regions (
    player_id BLOB    NOT NULL PRIMARY KEY,
    region    TEXT    NOT NULL,
    set_at_ms INTEGER NOT NULL
) STRICT;
