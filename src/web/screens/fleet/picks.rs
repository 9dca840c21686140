//! What can be done with several sessions at once: those whose boxes are checked. Each is one statement that calls the function
//! of one session for each of them, so either all are changed or none.

use super::Row;
use crate::web::acts::Act;
use crate::web::error::WebError;
use crate::web::format;
use crate::web::identity::Scope;
use crate::web::look::Look;
use maud::{Markup, html};
use uuid::Uuid;

static CONNECT: Act = Act {
    name: "connect_sessions",
    scope: Scope::Operator,
    function: "wa.connect",
    sql: "SELECT coalesce(nullif(count(wa.connect(session)), 0)::text, 'false') FROM unnest($1::text[]) AS session",
    arguments: &["sessions"],
};
static CLOSE: Act = Act {
    name: "close_sessions",
    scope: Scope::Operator,
    function: "wa.close",
    sql: "SELECT coalesce(nullif(count(wa.close(session)), 0)::text, 'false') FROM unnest($1::text[]) AS session",
    arguments: &["sessions"],
};
static PAUSE: Act = Act {
    name: "pause_sessions",
    scope: Scope::Operator,
    function: "wa.pause",
    sql: "SELECT coalesce(nullif(count(wa.pause(session)::text), 0)::text, 'false') FROM unnest($1::text[]) AS session",
    arguments: &["sessions"],
};
static RESUME: Act = Act {
    name: "resume_sessions",
    scope: Scope::Operator,
    function: "wa.resume",
    sql: "SELECT coalesce(nullif(count(wa.resume(session)::text), 0)::text, 'false') FROM unnest($1::text[]) AS session",
    arguments: &["sessions"],
};
/// Workers hold the sessions of all tenants, so this is an admin's.
static MOVE: Act = Act {
    name: "move_sessions",
    scope: Scope::Admin,
    function: "wa.move_session",
    sql: "SELECT coalesce(nullif(count(wa.move_session(session, $2::uuid)::text), 0)::text, 'false') FROM unnest($1::text[]) AS session",
    arguments: &["sessions", "worker_id"],
};

pub(in crate::web::screens) const ACTS: &[&Act] = &[&CONNECT, &CLOSE, &PAUSE, &RESUME, &MOVE];

/// The form that the boxes belong to.
const FORM: &str = "picked";

/// Whether the reader may do something with sessions.
pub(super) fn may(look: &Look) -> bool {
    look.who.scope >= Scope::Operator
}

/// The box of a session.
pub(super) fn pick(look: &Look, row: &Row) -> Markup {
    html! {
        label { input type="checkbox" form=(FORM) name="sessions" value=(row.name) autocomplete="off" aria-label=(look.words.with("fleet.pick", &row.name)); }
    }
}

/// A worker that sessions can be moved to.
pub(super) struct Target {
    worker_id: Uuid,
    host: String,
    pid: i32,
    max_sessions: i32,
    sessions: i64,
}

/// The workers that the reader may move sessions to, those with most room first.
pub(super) async fn targets(look: &mut Look) -> Result<Vec<Target>, WebError> {
    if look.who.scope < MOVE.scope {
        return Ok(vec![]);
    }
    Ok(sqlx::query_file_as!(Target, "sql/web/session_workers.sql").fetch_all(&mut look.tx).await?)
}

/// The buttons for the sessions that are picked. They show while there are any.
pub(super) fn bar(look: &Look, targets: &[Target]) -> Markup {
    let words = look.words;
    let button = |act: &'static Act, label: &str| {
        html! {
            @if look.who.scope >= act.scope {
                button class="button plain slim" formaction={ "/act/" (act.name) } title=(act.call(&[Some("{…}")])) { (label) }
            }
        }
    };
    html! {
        form.picks id=(FORM) method="post" action={ "/act/" (PAUSE.name) } data-act data-reset aria-label=(words.t("fleet.picked")) {
            input type="hidden" name="back" value=(look.place.href());
            p { (words.t("fleet.picked")) " " output data-picked data-keep {} }
            button type="button" class="button text slim" data-pick="all" { (words.t("fleet.pick_all")) }
            button type="reset" class="button text slim" { (words.t("fleet.pick_none")) }
            (button(&CONNECT, words.t("session.connect")))
            (button(&CLOSE, words.t("session.close")))
            (button(&PAUSE, words.t("session.pause")))
            (button(&RESUME, words.t("session.resume")))
            @if !targets.is_empty() {
                span.row {
                    select name="worker_id" aria-label=(words.t("session.move")) {
                        option value="" { (words.t("session.move_any")) }
                        @for target in targets {
                            option value=(target.worker_id) {
                                (target.host) " " (target.pid) " · " (format::number(target.sessions)) " / " (format::number(target.max_sessions.into()))
                            }
                        }
                    }
                    (button(&MOVE, words.t("fleet.move")))
                }
            }
        }
    }
}
