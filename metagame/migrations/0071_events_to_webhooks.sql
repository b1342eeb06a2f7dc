-- What an event that webhooks are told of happened to, where that is no match. Its `match_id` is then a hash of this: deliveries of
-- one subject wait for each other as those of one match do.
ALTER TABLE outbox ADD COLUMN subject TEXT NOT NULL DEFAULT '';
