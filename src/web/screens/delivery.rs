//! What became of the messages: the funnel, and how it went over time.

use super::shared;
use super::span::{Span, limits};
use crate::web::error::WebError;
use crate::web::format;
use crate::web::look::{Group, Look, SELDOM, Screen, Shown, Topic};
use crate::web::plot::{Kind, Plot, Series, Step, Tone, funnel, real, sparkline};
use crate::web::request::Place;
use maud::{PreEscaped, html};

pub(super) const SCREEN: Screen = Screen {
    name: "delivery",
    key: 'd',
    icon: "delivery",
    group: Some(Group::Messages),
    topics: &[Topic::Status],
    tick: SELDOM,
    is_live: |_| true,
    render: |look| Box::pin(render(look)),
};

/// Sessions on a page, each with up to a month of hours.
const SESSIONS: i64 = 10;
const CAMPAIGNS: i64 = 20;

#[expect(clippy::too_many_lines, reason = "the statements, and then the page from its top to its end")]
async fn render(look: &mut Look) -> Result<Shown, WebError> {
    let place = look.place.clone();
    let span = Span::of(&place);
    let (session, campaign) = (place.get("session"), place.get("campaign"));
    let numbers = sqlx::query_file!("sql/web/numbers.sql", session, span.since, span.step, campaign);
    let numbers = numbers.fetch_all(&mut look.tx).await?;
    let after = place.get("after").and_then(|after| after.split_once(' '));
    let (after, behind) = (after.and_then(|(sent, _)| sent.parse::<i64>().ok()), after.map(|(_, name)| name));
    let sessions = sqlx::query_file!(
        "sql/web/delivery_sessions.sql",
        span.since,
        after,
        SESSIONS,
        session,
        place.get("name"),
        behind
    );
    let sessions = sessions.fetch_all(&mut look.tx).await?;
    let campaigns =
        sqlx::query_file!("sql/web/campaigns.sql", campaign, span.since, Some(CAMPAIGNS), false, None::<&str>);
    let campaigns = campaigns.fetch_all(&mut look.tx).await?;
    let (look, words) = (&*look, look.words);

    let columns: [(&str, Tone, Vec<i64>); 7] = [
        (words.t("delivery.queued"), Tone::Soft, numbers.iter().map(|row| row.queued).collect()),
        (words.t("delivery.sent"), Tone::One, numbers.iter().map(|row| row.sent).collect()),
        (words.t("delivery.delivered"), Tone::Two, numbers.iter().map(|row| row.delivered).collect()),
        (words.t("delivery.read"), Tone::Three, numbers.iter().map(|row| row.read).collect()),
        (words.t("delivery.played"), Tone::Four, numbers.iter().map(|row| row.played).collect()),
        (words.t("delivery.failed"), Tone::Bad, numbers.iter().map(|row| row.failed).collect()),
        (words.t("delivery.received"), Tone::Five, numbers.iter().map(|row| row.received).collect()),
    ];
    let total = |at: usize| columns[at].2.iter().sum::<i64>();
    // The last step is not over: with it every line would fall at its end. Unless nothing else has happened yet.
    let past = numbers.len().saturating_sub(1);
    let shown = if columns.iter().any(|(_, _, values)| values[..past].iter().any(|count| *count > 0)) {
        past
    } else {
        numbers.len()
    };
    let steps: Vec<_> = columns[..5]
        .iter()
        .map(|(label, tone, values)| Step { label, count: values.iter().sum(), tone: *tone })
        .collect();
    let line = |at: usize| Series {
        label: columns[at].0,
        tone: columns[at].1,
        values: columns[at].2[..shown].iter().map(|count| Some(real(*count))).collect(),
    };
    let times: Vec<_> = numbers[..shown].iter().map(|row| row.at).collect();
    let unit = words.of_value("span_step", span.name);
    let messages = Plot {
        id: "messages",
        title: words.t("delivery.messages"),
        unit,
        kind: Kind::Lines,
        times: times.clone(),
        // Nobody receives for a campaign.
        series: if campaign.is_some() { vec![0, 1, 2, 3, 4, 5] } else { vec![0, 1, 2, 3, 4, 5, 6] }
            .into_iter()
            .map(line)
            .collect(),
        limit: None,
    };
    let latency = Plot {
        id: "latency",
        title: words.t("delivery.latency"),
        unit: words.t("delivery.seconds"),
        kind: Kind::Lines,
        times,
        series: vec![
            Series {
                label: words.t("delivery.median"),
                tone: Tone::One,
                values: numbers[..shown].iter().map(|row| row.median_seconds).collect(),
            },
            Series {
                label: words.t("delivery.p95"),
                tone: Tone::Two,
                values: numbers[..shown].iter().map(|row| row.p95_seconds).collect(),
            },
        ],
        limit: None,
    };
    let heads = ["queued", "sent", "delivered", "read", "failed"];
    let head = |name: &str| words.of_value("delivery", name).to_owned();
    let body = html! {
        header.head {
            div {
                h1 { (words.t("screens.delivery")) }
                p.soft {
                    (words.t("delivery.about"))
                    (limits(&place, &[("session", words.t("delivery.session")), ("campaign", words.t("delivery.campaign"))]))
                }
            }
        }
        (span.chips(words, &place))
        ul.tiles.even {
            @for (at, (label, tone, values)) in columns.iter().enumerate() {
                li.tile data-key={ "tile-" (at) } {
                    div { span.label { (label) } b.number { (format::number(total(at))) } }
                    (PreEscaped(sparkline(&values[..shown].iter().map(|count| real(*count)).collect::<Vec<_>>(), *tone, label)))
                }
            }
        }
        @if columns.iter().all(|(_, _, values)| values.iter().all(|count| *count == 0)) {
            div.empty {
                h2 { (words.t("delivery.none")) }
                p { (words.t("delivery.none_next")) }
                code.sql { "INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', '+79001234567', 'Hello');" }
            }
        } @else {
            div class="columns" {
                section.panel { header { h2 { (words.t("delivery.funnel")) } } (PreEscaped(funnel(&steps))) }
                section.panel { (PreEscaped(latency.figure(&look.reader()))) }
            }
            section.panel { (PreEscaped(messages.figure(&look.reader()))) }
        }
        @if campaign.is_none() && (!sessions.is_empty() || place.get("name").is_some()) {
            section.panel {
                header {
                    h2 { (words.t("delivery.by_session")) }
                    @if session.is_none() {
                        p class="soft small" {
                            @match sessions.first().and_then(|row| row.hours) {
                                Some(hours) => (words.with("delivery.most_of_hours", hours)),
                                None => (words.t("delivery.most_first")),
                            }
                        }
                    }
                }
                @if session.is_none() {
                    form.bar method="get" action="/delivery" {
                        @if let Some(time) = place.get("time") { input type="hidden" name="time" value=(time); }
                        label.hidden for="delivery-name" { (words.t("delivery.search")) }
                        input id="delivery-name" type="search" name="name" value=[place.get("name")] placeholder=(words.t("delivery.search"));
                    }
                }
                @if sessions.is_empty() { p.soft { (words.t("delivery.none_match")) } } @else {
                div.table { table {
                    caption.hidden { (words.t("delivery.by_session")) }
                    thead { tr {
                        th scope="col" { (words.t("delivery.session")) }
                        @for name in heads { th.num scope="col" { (head(name)) } }
                        th.num scope="col" { (words.t("delivery.received")) }
                    } }
                    tbody {
                        @for row in &sessions {
                            tr data-key={ "session-" (row.name) } {
                                th scope="row" { a href=(place.with("session", Some(&row.name))) { (row.name) } " " span.tag { (row.tenant) } }
                                @for (name, count) in heads.into_iter().zip([row.begun, row.sent, row.delivered, row.read, row.failed]) {
                                    td.num data-label=(head(name)) { (format::number(count)) }
                                }
                                td.num data-label=(words.t("delivery.received")) { (format::number(row.received)) }
                            }
                        }
                    }
                } }
                (shared::next_page(look, "after", &sessions, SESSIONS, |row| format!("{} {}", row.rank, row.name)))
                }
            }
        }
        @if session.is_none() && !campaigns.is_empty() {
            section.panel {
                header { h2 { (words.t("delivery.by_campaign")) } a href="/campaigns" { (words.t("delivery.all_campaigns")) } }
                div.table { table {
                    caption.hidden { (words.t("delivery.by_campaign")) }
                    thead { tr {
                        th scope="col" { (words.t("delivery.campaign")) }
                        @for name in heads { th.num scope="col" { (head(name)) } }
                    } }
                    tbody {
                        @for row in &campaigns {
                            tr data-key={ "campaign-" (row.tenant) "-" (row.campaign) } {
                                th scope="row" {
                                    a href=(Place { query: [("campaign".into(), row.campaign.clone())].into(), ..Place::screen("delivery") }.href()) { (row.campaign) }
                                    " " span.tag { (row.tenant) }
                                }
                                @for (name, count) in heads.into_iter().zip([row.begun, row.sent, row.delivered, row.read, row.failed]) {
                                    td.num data-label=(head(name)) { (format::number(count)) }
                                }
                            }
                        }
                    }
                } }
            }
        }
    };
    Ok(Shown { title: words.t("screens.delivery").to_owned(), body })
}
