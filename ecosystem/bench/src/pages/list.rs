//! Who reads, and which pages: every screen with every choice that it has. Pages behind the first one are found by their
//! links.

use crate::server::Database;
use url::form_urlencoded::byte_serialize;

/// Somebody with a token, and what belongs to the tenant.
pub(super) struct Reader {
    pub(super) name: &'static str,
    pub(super) secret: String,
    session: &'static str,
    chat: String,
    campaign: String,
    worker: String,
    messages: [i64; 3],
}

/// An admin, and operators of a tenant with six tenths of the sessions and of one with a few.
pub(super) async fn readers(database: &Database) -> anyhow::Result<Vec<Reader>> {
    let mut readers = vec![];
    for (name, scope, tenant, session) in [
        ("admin", "admin", None, "shop-00001"),
        ("large", "operator", Some("large"), "shop-00001"),
        ("small", "operator", Some("small"), "shop-00007"),
    ] {
        let secret =
            sqlx::query_file_scalar!("sql/pages/token.sql", name, scope, tenant).fetch_one(&database.pool).await?;
        let found = sqlx::query_file!("sql/pages/places.sql", session).fetch_one(&database.pool).await?;
        readers.push(Reader {
            name,
            secret,
            session,
            chat: encoded(&found.chat),
            campaign: encoded(&found.campaign),
            worker: found.worker,
            messages: [found.failed, found.live, found.received],
        });
    }
    Ok(readers)
}

fn encoded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

const CLASSES: [&str; 8] =
    ["not_on_whatsapp", "refused", "limited", "content", "media", "connection", "server", "worker"];

impl Reader {
    /// Path and query of each page.
    pub(super) fn pages(&self) -> Vec<String> {
        let Self { session, chat, campaign, worker, .. } = self;
        let mut pages: Vec<String> = [
            "/fleet",
            "/fleet?q=0123",
            "/fleet?q=nothing",
            "/fleet?status=banned",
            "/fleet?tenant=small",
            "/fleet?wish=stopped",
            "/fleet?wish=paused",
            "/fleet?after=shop-09000",
            "/risk",
            "/queue",
            "/queue?after=shop-09000",
            "/queue?by=lanes",
            "/queue?by=lanes&after=shop-09000+7",
            "/failures",
            "/failures?time=week",
            "/failures?time=month",
            "/delivery",
            "/delivery?time=week",
            "/delivery?time=month",
            "/delivery?time=month&after=0+shop-09000",
            "/delivery?time=month&name=0123",
            "/campaigns",
            "/inbox",
            "/inbox?q=0123",
            "/inbox?after=shop-09000",
            "/consumers",
            "/schedules",
            "/maintenance",
            "/maintenance?kind=retention&status=failed",
            "/workers",
            "/live",
        ]
        .map(str::to_owned)
        .into();
        pages.extend([
            format!("/fleet?worker={worker}"),
            format!("/session/{session}"),
            format!("/session/{session}?tab=events"),
            format!("/session/{session}?tab=settings"),
            format!("/queue/{session}"),
            format!("/queue/{session}?after={session}+7"),
            format!("/failures?session={session}"),
            format!("/failures?campaign={campaign}"),
            format!("/failures?campaign={campaign}&time=month"),
            format!("/failures?campaign={campaign}&session={session}"),
            format!("/failures?campaign={campaign}&class=worker"),
            format!("/delivery?session={session}&time=month"),
            format!("/delivery?campaign={campaign}"),
            format!("/delivery?campaign={campaign}&time=month"),
            format!("/campaigns/{campaign}"),
            format!("/inbox/{session}"),
            format!("/inbox/{session}?by=number"),
            format!("/inbox/{session}?chat={chat}"),
            format!("/inbox/{session}?q=order"),
        ]);
        pages.extend(CLASSES.iter().map(|class| format!("/failures?class={class}")));
        pages.extend(["media", "worker"].map(|class| format!("/failures?session={session}&class={class}")));
        pages.extend(self.messages.iter().map(|id| format!("/message/{id}")));
        // What an open page asks for again and again.
        pages.extend([
            "/stream?view=%2Ffleet".to_owned(),
            "/stream?view=%2Frisk".to_owned(),
            "/stream?view=%2Ffailures".to_owned(),
            "/stream/events".to_owned(),
        ]);
        pages
    }
}
