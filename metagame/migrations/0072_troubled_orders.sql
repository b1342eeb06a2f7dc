-- What was paid is not what they cost: counted every minute, and there are hardly any.
CREATE INDEX orders_mismatched ON orders (order_id) WHERE state = 'mismatched';
