//! What a page can do: calls of SQL functions. Each button shows its call, so that the page teaches the SQL.

use super::format;
use super::identity::Scope;
use super::look::Look;
use maud::{Markup, html};

/// A call of one SQL function.
#[derive(Debug)]
pub(super) struct Act {
    /// Unique among all acts; part of the URL.
    pub(super) name: &'static str,
    /// The lowest scope that has the button. The right itself is the database's.
    pub(super) scope: Scope,
    /// `wa.pause`
    pub(super) function: &'static str,
    /// The statement: each argument is a text or null, and is cast here, which also says how the page shows it as SQL; one row
    /// with one text comes back. `SELECT wa.pause($1, $2)::text`
    pub(super) sql: &'static str,
    /// Names of the arguments in their order, as the form has them. An act with the argument `after` does a part of the work in
    /// each call and returns where to go on: it is called with that until it returns nothing. `NULL` is no argument of a form: the
    /// call always says it. `sessions`, the first, is an array: the statement calls the function for each session of it.
    pub(super) arguments: &'static [&'static str],
}

/// The argument that is an array of names.
pub(super) const SESSIONS: &str = "sessions";

impl Act {
    /// The call as a user would write it, without the last arguments that are missing.
    pub(super) fn call(&self, values: &[Option<&str>]) -> String {
        let last = values.iter().zip(self.arguments).rposition(|(value, name)| value.is_some() || *name == "NULL");
        let given = last.map_or(0, |last| last + 1);
        let mut values: Vec<_> =
            values.iter().take(given).enumerate().map(|(at, value)| self.kind(at).literal(*value)).collect();
        let each = self.is_of_many().then(|| values.first_mut()).flatten();
        let each =
            each.map(|all| format!(" FROM unnest({}::text[]) AS session", std::mem::replace(all, "session".into())));
        format!("SELECT {}({}){};", self.function, values.join(", "), each.unwrap_or_default())
    }

    /// Whether it calls its function for each of several sessions.
    pub(super) fn is_of_many(&self) -> bool {
        self.arguments.first() == Some(&SESSIONS)
    }

    /// How the argument at this place is written in SQL.
    fn kind(&self, at: usize) -> Kind {
        let cast = self.sql.split_once(&format!("${}::", at + 1)).map_or("", |(_, cast)| cast);
        if ["bigint", "integer", "float8", "boolean"].iter().any(|plain| cast.starts_with(plain)) {
            Kind::Plain
        } else if cast.starts_with("timestamp AT TIME ZONE 'UTC'") {
            Kind::Moment
        } else {
            Kind::Text
        }
    }
}

/// How a value is written in SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    /// A number or a truth value, without quotes.
    Plain,
    /// A moment without a zone, which is UTC.
    Moment,
}

impl Kind {
    /// For the script that shows what is typed.
    const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Plain => "plain",
            Self::Moment => "moment",
        }
    }

    fn literal(self, value: Option<&str>) -> String {
        match (self, value) {
            (_, None) => "NULL".to_owned(),
            (Self::Plain, Some(plain)) if plain == "true" || plain == "false" || plain.parse::<f64>().is_ok() => {
                plain.to_owned()
            }
            (Self::Moment, Some(moment)) => format!("'{}+00'", moment.replace('\'', "''")),
            (_, Some(text)) => format!("'{}'", text.replace('\'', "''")),
        }
    }
}

/// What a form asks the user for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    /// The argument.
    pub(super) name: &'static str,
    pub(super) label: &'a str,
    /// `text`, `number`, `tel`, `time`, `datetime-local`, `textarea`; or `checkbox`, which sends `true` or `false`.
    pub(super) kind: &'static str,
    pub(super) value: Option<&'a str>,
    pub(super) required: bool,
}

/// How an act is offered.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Offer<'a> {
    /// The word on the button.
    pub(super) label: &'a str,
    /// One sentence: what happens.
    pub(super) about: &'a str,
    /// Name of a symbol, without `i-`.
    pub(super) icon: Option<&'a str>,
    /// Arguments that the page knows.
    pub(super) fixed: &'a [(&'static str, &'a str)],
    /// Arguments that the user fills in.
    pub(super) fields: &'a [Field<'a>],
    /// Whether it is what comes next.
    pub(super) is_next: bool,
    /// Whether it loses something.
    pub(super) danger: bool,
    /// The screen that it leads to, and the argument that names what the screen shows.
    pub(super) leads: Option<(&'static str, &'static str)>,
    /// Whether what the function returns stays in the panel, to be copied: a secret that nothing shows again, an address.
    pub(super) copies: bool,
}

/// An act that opens to its sentence, its fields, its SQL and its button; nothing for a token whose scope is too low.
pub(super) fn act(look: &Look, act: &'static Act, offer: &Offer<'_>) -> Markup {
    if look.who.scope < act.scope {
        return html! {};
    }
    let key = offer.fixed.iter().fold(format!("act-{}", act.name), |key, (_, value)| format!("{key}-{value}"));
    let (opener, button) = match offer {
        Offer { danger: true, .. } => ("button danger", "button danger solid"),
        Offer { is_next: true, .. } => ("button", "button"),
        _ => ("button plain", "button"),
    };
    html! {
        details.act name="acts" data-key=(key) {
            summary class=(opener) {
                @if let Some(icon) = offer.icon { (format::icon(icon)) }
                (offer.label)
            }
            form method="post" action={ "/act/" (act.name) } data-act {
                p { (offer.about) }
                (hidden(look, offer.fixed))
                @if let Some((screen, argument)) = offer.leads { input type="hidden" name="leads" value={ (screen) "/" (argument) }; }
                @for field in offer.fields { (field_of(&key, field)) }
                code.sql { (shown(act, offer)) }
                div.row { button class=(button) { (offer.label) } }
                @if offer.copies {
                    @let id = format!("{key}-answer");
                    div.answer data-answer data-keep hidden {
                        output id=(id) class="sql" {}
                        button type="button" class="button plain slim" data-copy-of=(id) { (look.words.t("common.copy")) }
                    }
                }
            }
        }
    }
}

/// An act of one click.
pub(super) fn quick(look: &Look, act: &'static Act, label: &str, fixed: &[(&'static str, &str)]) -> Markup {
    if look.who.scope < act.scope {
        return html! {};
    }
    let values: Vec<_> =
        act.arguments.iter().map(|name| fixed.iter().find(|(key, _)| key == name).map(|it| it.1)).collect();
    html! {
        form.one method="post" action={ "/act/" (act.name) } data-act {
            (hidden(look, fixed))
            button class="button plain slim" title=(act.call(&values)) { (label) }
        }
    }
}

fn hidden(look: &Look, fixed: &[(&'static str, &str)]) -> Markup {
    html! {
        input type="hidden" name="back" value=(look.place.href());
        @for (name, value) in fixed { input type="hidden" name=(name) value=(value); }
    }
}

fn field_of(key: &str, field: &Field<'_>) -> Markup {
    let id = format!("{key}-{}", field.name);
    html! {
        div.field {
            @if field.kind == "checkbox" {
                // What is sent last counts.
                input type="hidden" name=(field.name) value="false";
                label.check for=(id) {
                    input id=(id) type="checkbox" name=(field.name) value="true" checked[field.value == Some("true")];
                    (field.label)
                }
            } @else {
                label for=(id) { (field.label) }
                @if field.kind == "textarea" {
                    textarea id=(id) name=(field.name) rows="3" required[field.required] { (field.value.unwrap_or_default()) }
                } @else {
                    input id=(id) type=(field.kind) name=(field.name) value=[field.value] required[field.required];
                }
            }
        }
    }
}

/// The call, with a place for each value that the user fills in.
fn shown(act: &Act, offer: &Offer<'_>) -> Markup {
    let filled = |field: &Field<'_>, kind: Kind| {
        let value = if field.kind == "checkbox" { field.value.or(Some("false")) } else { field.value };
        kind.literal(value.filter(|value| !value.is_empty()))
    };
    html! {
        "SELECT " (act.function) "("
        @for (at, name) in act.arguments.iter().enumerate() {
            @if at > 0 { ", " }
            @if let Some(field) = offer.fields.iter().find(|field| field.name == *name) {
                var data-of=(name) data-kind=(act.kind(at).name()) { (filled(field, act.kind(at))) }
            } @else {
                (act.kind(at).literal(offer.fixed.iter().find(|(key, _)| key == name).map(|it| it.1)))
            }
        }
        ");"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2_the_sql_of_a_form_has_the_values_that_the_form_has() {
        let act = Act {
            name: "x",
            scope: Scope::Operator,
            function: "wa.x",
            sql: "SELECT wa.x($1, $2::interval, $3::integer, $4::boolean)",
            arguments: &["session", "valid", "most", "force"],
        };
        let field = |name, kind, value| Field { name, label: "", kind, value, required: false };
        let fields =
            [field("valid", "text", Some("30 min")), field("most", "number", None), field("force", "checkbox", None)];
        let offer = Offer { fixed: &[("session", "shop")], fields: &fields, ..Offer::default() };
        let plain = shown(&act, &offer).into_string().replace("&#39;", "'");
        let plain: String = plain.split('<').map(|part| part.split_once('>').map_or(part, |it| it.1)).collect();
        assert_eq!(plain, "SELECT wa.x('shop', '30 min', NULL, false);");
    }

    #[test]
    fn h2_a_call_is_shown_as_sql_with_quoted_values() {
        let act = |sql| Act { name: "x", scope: Scope::Operator, function: "wa.x", sql, arguments: &["one", "two"] };
        let texts = act("SELECT wa.x($1, $2)");
        assert_eq!(texts.call(&[Some("o'neill"), None]), "SELECT wa.x('o''neill');");
        // A session may have a number for a name.
        assert_eq!(texts.call(&[Some("79001234567"), Some("true")]), "SELECT wa.x('79001234567', 'true');");
        assert_eq!(texts.call(&[None, Some("+1")]), "SELECT wa.x(NULL, '+1');");
        let plain = act("SELECT wa.x($1::bigint, coalesce($2::boolean, false))");
        assert_eq!(plain.call(&[Some("42"), Some("true")]), "SELECT wa.x(42, true);");
        assert_eq!(plain.call(&[Some("4'2"), None]), "SELECT wa.x('4''2');");
        let many = Act {
            sql: "SELECT wa.x(session, $2) FROM unnest($1::text[]) AS session",
            arguments: &["sessions", "two"],
            ..texts
        };
        assert_eq!(
            many.call(&[Some("{office,shop}"), Some("it's")]),
            "SELECT wa.x(session, 'it''s') FROM unnest('{office,shop}'::text[]) AS session;"
        );
        let moments = act("SELECT wa.x($1, $2::timestamp AT TIME ZONE 'UTC')");
        assert_eq!(
            moments.call(&[Some("crm"), Some("2026-11-01T10:00")]),
            "SELECT wa.x('crm', '2026-11-01T10:00+00');"
        );
    }
}
