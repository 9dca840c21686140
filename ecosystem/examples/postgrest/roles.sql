-- One role for each tenant's programs, which a JWT names in its claim "role", and the login of PostgREST itself, which has no
-- rights before it takes such a role.
CREATE ROLE shop_api NOLOGIN;
GRANT wa_app TO shop_api;
SELECT wa.grant_tenant('shop_api', 'default');
CREATE ROLE shop_rest LOGIN NOINHERIT PASSWORD 'a long one';
GRANT shop_api TO shop_rest;
