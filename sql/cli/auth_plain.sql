-- Ends the demand that the auth state be sealed, unless something still is. Returns the number of sealed values. Locks
-- the row of the demand.
WITH found AS (
    -- What is sealed, apart from the quarantine, whose values keep their key.
    SELECT (SELECT count(*) FROM wa.auth WHERE creds @? '$.** ? (@.type == "Sealed")')
         + (SELECT count(*) FROM wa.auth_key WHERE value @? '$.** ? (@.type == "Sealed")')
         + (SELECT count(*) FROM wa.proxy WHERE url @? '$.** ? (@.type == "Sealed")')
         + (SELECT count(*) FROM wa.webhook_secret WHERE value @? '$.** ? (@.type == "Sealed")')
         + (SELECT count(*) FROM wa.partner_key WHERE value @? '$.** ? (@.type == "Sealed")') AS sealed
), ended AS (
    DELETE FROM wa.sealing USING found WHERE found.sealed = 0
)
SELECT sealed AS "sealed!" FROM found
