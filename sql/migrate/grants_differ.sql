-- Whether somebody has changed who may execute the functions of this schema, since they were applied. Locks nothing.
SELECT EXISTS (SELECT FROM wa.grant_changes()) AS "differ!"
