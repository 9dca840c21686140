//! What can be done with a session.

use crate::web::acts::{Act, Field};
use crate::web::identity::Scope;

pub(super) static LINK: Act = Act {
    name: "link",
    scope: Scope::Operator,
    function: "wa.link",
    sql: "SELECT wa.link($1, $2)::text",
    arguments: &["session", "phone"],
};
pub(super) static LINK_URL: Act = Act {
    name: "link_url",
    scope: Scope::Operator,
    function: "wa.link_url",
    sql: "SELECT wa.link_url($1, coalesce($2::interval, '30 min'))",
    arguments: &["session", "valid"],
};
pub(super) static REVOKE_LINK: Act = Act {
    name: "revoke_link",
    scope: Scope::Operator,
    function: "wa.revoke_link",
    sql: "SELECT wa.revoke_link($1)::text",
    arguments: &["session"],
};
pub(super) static ANSWER_PASSKEY: Act = Act {
    name: "answer_passkey",
    scope: Scope::Operator,
    function: "wa.answer_passkey",
    sql: "SELECT wa.answer_passkey($1, $2::jsonb)::text",
    arguments: &["session", "assertion"],
};
pub(super) static CONFIRM_PASSKEY: Act = Act {
    name: "confirm_passkey",
    scope: Scope::Operator,
    function: "wa.confirm_passkey",
    sql: "SELECT wa.confirm_passkey($1, $2)::text",
    arguments: &["session", "code"],
};
pub(super) static REFUSE_PASSKEY: Act = Act {
    name: "refuse_passkey",
    scope: Scope::Operator,
    function: "wa.refuse_passkey",
    sql: "SELECT wa.refuse_passkey($1)::text",
    arguments: &["session"],
};
pub(super) static LOGOUT: Act = Act {
    name: "logout",
    scope: Scope::Operator,
    function: "wa.logout",
    sql: "SELECT wa.logout($1, $2, coalesce($3::boolean, false))::text",
    arguments: &["session", "reason", "force"],
};
pub(super) static RESTORE_AUTH: Act = Act {
    name: "restore_auth",
    scope: Scope::Operator,
    function: "wa.restore_auth",
    sql: "SELECT wa.restore_auth($1)::text",
    arguments: &["session"],
};
pub(super) static MOVE: Act = Act {
    name: "move_session",
    scope: Scope::Admin,
    function: "wa.move_session",
    sql: "SELECT wa.move_session($1, $2::uuid)::text",
    arguments: &["session", "worker_id"],
};
pub(super) static SET_PACING: Act = Act {
    name: "set_pacing",
    scope: Scope::Operator,
    function: "wa.set_pacing",
    sql: "SELECT wa.set_pacing($1, $2::float8, $3::integer, $4::interval, $5::integer, $6::time, $7::time, $8, $9::boolean)::text",
    arguments: &[
        "session",
        "per_minute",
        "burst",
        "jitter",
        "first_contacts",
        "quiet_from",
        "quiet_until",
        "time_zone",
        "typing",
    ],
};
pub(super) static CLEAR_PACING: Act = Act {
    name: "clear_pacing",
    scope: Scope::Operator,
    function: "wa.clear_pacing",
    sql: "SELECT wa.clear_pacing($1, $2)::text",
    arguments: &["session", "what"],
};
pub(super) static SET_PROXY: Act = Act {
    name: "set_proxy",
    scope: Scope::Operator,
    function: "wa.set_proxy",
    sql: "SELECT wa.set_proxy($1, $2)::text",
    arguments: &["session", "url"],
};
pub(super) static REMOVE_PROXY: Act = Act {
    name: "remove_proxy",
    scope: Scope::Operator,
    function: "wa.set_proxy",
    sql: "SELECT wa.set_proxy($1, $2)::text",
    arguments: &["session", "NULL"],
};
pub(super) static SET_CRYPTO_LIMITS: Act = Act {
    name: "set_crypto_limits",
    scope: Scope::Operator,
    function: "wa.set_crypto_limits",
    sql: "SELECT wa.set_crypto_limits($1, coalesce($2::integer, 3), coalesce($3::integer, 5), coalesce($4::boolean, false))::text",
    arguments: &["session", "bad_macs", "bad_decrypts", "relink"],
};
pub(super) static SET_REGION: Act = Act {
    name: "set_region",
    scope: Scope::Operator,
    function: "wa.set_region",
    sql: "SELECT wa.set_region($1, $2)::text",
    arguments: &["session", "region"],
};
pub(super) static KEEP_PAST: Act = Act {
    name: "keep_past",
    scope: Scope::Operator,
    function: "wa.keep_past",
    sql: "SELECT wa.keep_past($1, $2::boolean)::text",
    arguments: &["session", "keep"],
};
pub(super) static RETRY_JOB: Act = Act {
    name: "retry_session_job",
    scope: Scope::Operator,
    function: "wa.retry_session_job",
    sql: "SELECT wa.retry_session_job($1::bigint)::text",
    arguments: &["id"],
};
pub(super) static CANCEL_JOB: Act = Act {
    name: "cancel_session_job",
    scope: Scope::Operator,
    function: "wa.cancel_session_job",
    sql: "SELECT wa.cancel_session_job($1::bigint)::text",
    arguments: &["id"],
};

pub(in crate::web::screens) const ACTS: &[&Act] = &[
    &LINK,
    &LINK_URL,
    &REVOKE_LINK,
    &ANSWER_PASSKEY,
    &CONFIRM_PASSKEY,
    &REFUSE_PASSKEY,
    &LOGOUT,
    &RESTORE_AUTH,
    &MOVE,
    &SET_PACING,
    &CLEAR_PACING,
    &SET_PROXY,
    &REMOVE_PROXY,
    &SET_CRYPTO_LIMITS,
    &SET_REGION,
    &KEEP_PAST,
    &RETRY_JOB,
    &CANCEL_JOB,
];

/// A field for a text that may stay empty.
pub(super) fn text<'a>(name: &'static str, label: &'a str, value: Option<&'a str>) -> Field<'a> {
    Field { name, label, kind: "text", value, required: false }
}
