-- What `wagres auth reseal` queues.
INSERT INTO wa.maintenance_job (kind) VALUES ('reseal_keys') RETURNING id
