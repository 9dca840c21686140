-- Group and contact actions (M2, M9). This is the one list of actions and of what each takes and gives: the check at
-- INSERT reads it, the functions of their names are made from it, and a test compares docs/actions.md with it.

CREATE OR REPLACE FUNCTION wa.actions() RETURNS TABLE (kind text, gives text, about text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ VALUES
    ('check_numbers', '[{"jid", "lid", "on_whatsapp", "business"}]', 'Whether numbers are on WhatsApp; null where WhatsApp would not say.'),
    ('contact_picture', '{"id", "url"}, or null without one', 'The profile picture of a person or group.'),
    ('set_picture', '{"id"}, or null when it was removed', 'Sets the profile picture of the session itself or of a group: the middle of the image, as a square of at most 640 pixels.'),
    ('set_presence', NULL, 'Shows the session online or not, until its connection ends; while it is online, its phone rings less.'),
    ('watch_presence', NULL, 'Makes an event when somebody comes online or leaves, until the connection ends.'),
    ('block_contact', NULL, 'Blocks somebody.'),
    ('unblock_contact', NULL, 'Unblocks somebody.'),
    ('download', '{"media", "mime", "size"}', 'Downloads the file of a received message to wa.media; wa.download(42) is a shorthand.'),
    ('list_groups', '[group]', 'The groups that the session is in, each as show_group gives it.'),
    ('show_group', '{"jid", "subject", "description", "owner", "created_at", "locked", "announcement", "participants": [{"jid", "lid", "admin"}]}', 'A group.'),
    ('create_group', 'group', 'Makes a group, with the session as its owner.'),
    ('add_participants', '[{"jid", "error"}]', 'Adds people to a group.'),
    ('remove_participants', '[{"jid", "error"}]', 'Removes people from a group.'),
    ('promote_participants', '[{"jid", "error"}]', 'Makes participants admins.'),
    ('demote_participants', '[{"jid", "error"}]', 'Makes admins participants.'),
    ('set_group_subject', NULL, 'Names a group.'),
    ('set_group_description', NULL, 'Describes a group.'),
    ('group_invite_link', '{"link"}', 'The link by which anybody can join a group.'),
    ('join_group', '{"jid", "pending"}', 'Joins a group by its link; pending until an admin approves.'),
    ('leave_group', NULL, 'Leaves a group.')
$$;
COMMENT ON FUNCTION wa.actions() IS 'Kinds of group and contact actions for wa.session_job.kind: the result of each, and a description.';

CREATE OR REPLACE FUNCTION wa.action_fields() RETURNS TABLE (kind text, field text, type text, required boolean, low numeric, high numeric, about text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ VALUES
    ('check_numbers', 'numbers', 'people', true, 1::numeric, 1000::numeric, 'The numbers.'),
    ('contact_picture', 'contact', 'chat', true, NULL, NULL, 'The person or group.'),
    ('set_picture', 'media', 'id', false, NULL, NULL, 'A media_id of wa.media (wa.add_media); without it the picture is removed.'),
    ('set_picture', 'group', 'group', false, NULL, NULL, 'The group; without it the session itself.'),
    ('set_presence', 'available', 'boolean', true, NULL, NULL, 'Whether the session shows as online.'),
    ('watch_presence', 'contact', 'person', true, NULL, NULL, 'The person.'),
    ('block_contact', 'contact', 'person', true, NULL, NULL, 'The person.'),
    ('unblock_contact', 'contact', 'person', true, NULL, NULL, 'The person.'),
    ('download', 'inbox_id', 'id', true, NULL, NULL, 'The id of the message in wa.inbox.'),
    ('show_group', 'group', 'group', true, NULL, NULL, 'The group.'),
    ('create_group', 'subject', 'text', true, 1, 100, 'Its name.'),
    ('create_group', 'participants', 'people', true, 1, 1023, 'The other participants.'),
    ('add_participants', 'group', 'group', true, NULL, NULL, 'The group.'),
    ('add_participants', 'participants', 'people', true, 1, 1023, 'The people.'),
    ('remove_participants', 'group', 'group', true, NULL, NULL, 'The group.'),
    ('remove_participants', 'participants', 'people', true, 1, 1023, 'The people.'),
    ('promote_participants', 'group', 'group', true, NULL, NULL, 'The group.'),
    ('promote_participants', 'participants', 'people', true, 1, 1023, 'The people.'),
    ('demote_participants', 'group', 'group', true, NULL, NULL, 'The group.'),
    ('demote_participants', 'participants', 'people', true, 1, 1023, 'The people.'),
    ('set_group_subject', 'group', 'group', true, NULL, NULL, 'The group.'),
    ('set_group_subject', 'subject', 'text', true, 1, 100, 'Its name.'),
    ('set_group_description', 'group', 'group', true, NULL, NULL, 'The group.'),
    ('set_group_description', 'description', 'text', false, 1, 2048, 'The description; without it the old one is removed.'),
    ('group_invite_link', 'group', 'group', true, NULL, NULL, 'The group.'),
    ('group_invite_link', 'reset', 'boolean', false, NULL, NULL, 'Makes a new link and revokes the old one.'),
    ('join_group', 'link', 'text', true, 1, 200, 'The link, or the code at its end.'),
    ('leave_group', 'group', 'group', true, NULL, NULL, 'The group.'),
    ('logout', 'force', 'boolean', false, NULL, NULL, 'Whether the auth state of a session that is not connected is deleted without telling WhatsApp.')
$$;
COMMENT ON FUNCTION wa.action_fields() IS 'Fields of wa.session_job.args for each action, and for logout: type, whether it is required, and its least and greatest length or count.';

CREATE OR REPLACE FUNCTION wa.fields(target text, kind text) RETURNS TABLE (kind text, field text, type text, required boolean, low numeric, high numeric, about text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT * FROM wa.message_fields() f WHERE fields.target = 'content' AND f.kind = $2
    UNION ALL
    SELECT * FROM wa.action_fields() f WHERE fields.target = 'args' AND f.kind = $2
$$;
COMMENT ON FUNCTION wa.fields(text, text) IS 'The fields of a kind: of a message (target content) or an action (target args).';

CREATE OR REPLACE FUNCTION wa.act(session text, kind text, args jsonb DEFAULT '{}') RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE job bigint;
BEGIN
    PERFORM wa.must_send();
    IF act.kind IS NULL OR act.kind NOT IN (SELECT a.kind FROM wa.actions() a) THEN
        RAISE EXCEPTION 'kind: "%" is not an action', left(act.kind, 80)
            USING ERRCODE = 'WA004', COLUMN = 'kind', HINT = 'Accepted: ' || (SELECT string_agg(a.kind, ', ') FROM wa.actions() a) || '.';
    END IF;
    INSERT INTO wa.session_job AS j (session, kind, args) VALUES (act.session, act.kind, act.args) RETURNING j.id INTO job;
    RETURN job;
END $$;
COMMENT ON FUNCTION wa.act(text, text, jsonb) IS 'Queues a group or contact action and returns the id of its row in wa.session_job, which gets the result; LISTEN wa_job announces its end as {"session_id","id"}. wa.check_numbers and the like do the same for one kind each. SELECT wa.act(''shop'', ''check_numbers'', ''{"numbers": ["+79001234567"]}'');';
