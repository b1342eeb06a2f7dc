-- Of several instances one sends an endpoint's events at a time.
ALTER TABLE webhook_endpoints ADD COLUMN holder        TEXT    NOT NULL DEFAULT '';
ALTER TABLE webhook_endpoints ADD COLUMN held_until_ms INTEGER NOT NULL DEFAULT 0;
-- Counts the times that an operator had something sent again: the holder may be another instance than was asked.
ALTER TABLE webhook_endpoints ADD COLUMN revivals      INTEGER NOT NULL DEFAULT 0;
