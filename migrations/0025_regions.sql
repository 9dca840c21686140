-- Numbers as people write them, in the country of a session (M2).

CREATE TABLE wa.region (
    region               text PRIMARY KEY,
    code                 text NOT NULL,
    main                 boolean NOT NULL,
    international_prefix text,
    national_prefix      text,
    transform            text,
    pattern              text NOT NULL
);
COMMENT ON TABLE wa.region IS 'How numbers are written in each country: Google''s libphonenumber as data. See wa.phone.';
COMMENT ON COLUMN wa.region.region IS 'ISO 3166 code of the country, in capitals.';
COMMENT ON COLUMN wa.region.code IS 'Its calling code.';
COMMENT ON COLUMN wa.region.main IS 'The first of the countries that share the code.';
COMMENT ON COLUMN wa.region.international_prefix IS 'What is dialled before the code of another country, as a regular expression.';
COMMENT ON COLUMN wa.region.national_prefix IS 'What is dialled before a number within the country, as a regular expression.';
COMMENT ON COLUMN wa.region.transform IS 'What national_prefix is replaced with; null is nothing.';
COMMENT ON COLUMN wa.region.pattern IS 'What numbers without prefix look like, as a regular expression.';

ALTER TABLE wa.session ADD COLUMN region text REFERENCES wa.region;
COMMENT ON COLUMN wa.session.region IS 'The country of numbers that are written without their calling code; null takes every number as international. Set by wa.set_region.';
