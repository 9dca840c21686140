-- One index by id instead of two: each message that ends is written into every full index once more (P1, P10).

DROP INDEX wa.outbound_id;
ALTER TABLE wa.outbound DROP CONSTRAINT outbound_pkey, ADD PRIMARY KEY (id);
