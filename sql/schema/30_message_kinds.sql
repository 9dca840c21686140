-- Kinds of messages. This is the one list of kinds and of what each takes: the check at INSERT reads it, the functions
-- wa.send_… are made from it, and tests compare the worker's types and docs/messages.md with it.

CREATE OR REPLACE FUNCTION wa.message_kinds() RETURNS TABLE (kind text, body text, about text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ VALUES
    ('text', 'required', 'A text. *bold*, _italic_, ~struck~ and ```code``` look as in the app.'),
    ('image', 'optional', 'A picture (body is its caption): JPEG, PNG, WebP, or the first image of a GIF.'),
    ('video', 'optional', 'A film (body is its caption): MP4 with H.264 and AAC is what every phone plays.'),
    ('gif', 'optional', 'A short film that plays again and again without sound, as apps show GIFs (body is its caption): MP4.'),
    ('audio', 'none', 'Music or another sound: MP3, M4A, AAC, Ogg and the like.'),
    ('voice', 'none', 'A voice note: Ogg with Opus is what every phone plays.'),
    ('document', 'optional', 'Any file (body is its caption).'),
    ('sticker', 'none', 'A sticker: WebP as it is; another picture becomes one of 512 by 512 pixels.'),
    ('location', 'none', 'A place on the map.'),
    ('contact', 'none', 'A contact card, from a phone number or a vCard.'),
    ('poll', 'required', 'A question (body) with options to choose from.'),
    ('reaction', 'optional', 'An emoji (body) on a message; without body the reaction is taken back.'),
    ('edit', 'required', 'A new text for a message of ours.'),
    ('revoke', 'none', 'Takes a message of ours back for everyone; in a group an admin takes back those of others too.'),
    ('forward', 'none', 'A message of this chat or another one, sent on.'),
    ('read', 'none', 'Tells the sender that messages were read.'),
    ('chat_state', 'none', 'Shows "typing…" or "recording…", or hides it.')
$$;
COMMENT ON FUNCTION wa.message_kinds() IS 'Kinds of messages for wa.outbound.kind: whether body is required, optional or none, and a description.';

CREATE OR REPLACE FUNCTION wa.media_kinds() RETURNS TABLE (kind text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT unnest('{image,video,gif,audio,voice,document,sticker}'::text[]) $$;
COMMENT ON FUNCTION wa.media_kinds() IS 'Kinds of messages with a file, which content names in one of url, data, media, large_object and file.';

CREATE OR REPLACE FUNCTION wa.message_fields() RETURNS TABLE (kind text, field text, type text, required boolean, low numeric, high numeric, about text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
SELECT m.kind, f.* FROM wa.media_kinds() m CROSS JOIN (VALUES
    ('url', 'url', false, NULL::numeric, NULL::numeric, 'Where the worker fetches the file.'),
    ('data', 'bytes', false, 1::numeric, 67108864::numeric, 'The bytes; base64 in JSON. wa.media keeps them, and content gets their media_id.'),
    ('media', 'id', false, NULL, NULL, 'A media_id of wa.media.'),
    ('large_object', 'id', false, NULL, NULL, 'A large object that you and wa_worker may read.'),
    ('file', 'path', false, NULL, NULL, 'A path in the media store, in the folder with the name of the session''s tenant.'),
    ('quote', 'message', false, NULL, NULL, 'The message that this one answers.')
) f (field, type, required, low, high, about)
UNION ALL
SELECT k.kind, f.* FROM unnest('{image,video,gif,document}'::text[]) k (kind) CROSS JOIN (VALUES
    ('mentions', 'people', false, 1::numeric, 1024::numeric, 'People whom the body mentions; the body has @ and the number of each.')
) f (field, type, required, low, high, about)
UNION ALL
SELECT k.kind, f.* FROM unnest('{image,video,gif,voice}'::text[]) k (kind) CROSS JOIN (VALUES
    ('audience', 'people', false, 1::numeric, 10000::numeric, 'Who may see it; only for status@broadcast, and needed there.')
) f (field, type, required, low, high, about)
UNION ALL VALUES
    ('video', 'thumbnail', 'bytes', false, 1::numeric, 65536::numeric, 'A small JPEG that is shown until the file is loaded; base64 in JSON.'),
    ('gif', 'thumbnail', 'bytes', false, 1, 65536, 'A small JPEG that is shown until the file is loaded; base64 in JSON.'),
    ('document', 'thumbnail', 'bytes', false, 1, 65536, 'A small JPEG of its first page; base64 in JSON.'),
    ('document', 'file_name', 'text', false, 1, 255, 'Name of the file; else the last part of url or file.'),
    ('document', 'mime', 'text', false, 3, 255, 'Media type, such as application/pdf; else from its bytes or name.'),
    ('text', 'quote', 'message', false, NULL, NULL, 'The message that this one answers.'),
    ('text', 'mentions', 'people', false, 1, 1024, 'People whom the body mentions; the body has @ and the number of each.'),
    ('text', 'audience', 'people', false, 1, 10000, 'Who may see it; only for status@broadcast, and needed there.'),
    ('location', 'latitude', 'number', true, -90, 90, 'Degrees north.'),
    ('location', 'longitude', 'number', true, -180, 180, 'Degrees east.'),
    ('location', 'name', 'text', false, 1, 1000, 'Name of the place.'),
    ('location', 'address', 'text', false, 1, 1000, 'Address of the place.'),
    ('location', 'quote', 'message', false, NULL, NULL, 'The message that this one answers.'),
    ('contact', 'name', 'text', true, 1, 1000, 'Name on the card.'),
    ('contact', 'phone', 'person', false, NULL, NULL, 'The number; required without vcard.'),
    ('contact', 'vcard', 'text', false, 1, 65536, 'A vCard 3.0 of your own.'),
    ('contact', 'quote', 'message', false, NULL, NULL, 'The message that this one answers.'),
    ('poll', 'options', 'texts', true, 2, 12, 'Options; 1 to 100 characters each, no two alike.'),
    ('poll', 'choices', 'integer', false, 0, 12, 'How many may be chosen, 0 for any number; 1 unless given.'),
    ('poll', 'quote', 'message', false, NULL, NULL, 'The message that this one answers.'),
    ('reaction', 'message_id', 'message', true, NULL, NULL, 'The message to react to.'),
    ('edit', 'message_id', 'message', true, NULL, NULL, 'The message to change.'),
    ('edit', 'mentions', 'people', false, 1, 1024, 'People whom the body mentions.'),
    ('revoke', 'message_id', 'message', true, NULL, NULL, 'The message to take back.'),
    ('revoke', 'audience', 'people', false, 1, 10000, 'Who could see it; only for status@broadcast, and needed there.'),
    ('forward', 'message_id', 'message', true, NULL, NULL, 'The message to forward; wa.inbox or wa.outbound has it.'),
    ('forward', 'chat', 'chat', false, NULL, NULL, 'Its chat; this one unless given.'),
    ('read', 'message_ids', 'messages', true, 1, 1000, 'The messages that were read.'),
    ('read', 'sender', 'person', false, NULL, NULL, 'Who wrote them; needed in groups.'),
    ('chat_state', 'state', 'typing, recording, paused', true, NULL, NULL, 'The state to show.')
$$;
COMMENT ON FUNCTION wa.message_fields() IS 'Fields of wa.outbound.content for each kind: type, whether it is required, and its least and greatest value, length or count.';
