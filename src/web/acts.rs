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
    /// The statement: each argument is a text or null, and is cast here; one row with one text comes back.
    /// `SELECT wa.pause($1, $2)::text`
    pub(super) sql: &'static str,
    /// Names of the arguments in their order, as the form has them.
    pub(super) arguments: &'static [&'static str],
}

impl Act {
    /// The call as a user would write it, without the last arguments that are missing.
    pub(super) fn call(&self, values: &[Option<&str>]) -> String {
        let given = values.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let values: Vec<_> = values.iter().take(given).map(|value| literal(*value)).collect();
        format!("SELECT {}({});", self.function, values.join(", "))
    }
}

/// What a form asks the user for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    /// The argument.
    pub(super) name: &'static str,
    pub(super) label: &'a str,
    /// `text`, `number`, `tel`, `time`, `datetime-local`, `textarea`; or `checkbox`, which sends `true`.
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
    /// Whether it loses something.
    pub(super) danger: bool,
    /// Whether what the function returns stays in the panel, to be copied: a secret that nothing shows again, an address.
    pub(super) copies: bool,
}

/// An act that opens to its sentence, its fields, its SQL and its button; nothing for a token whose scope is too low.
pub(super) fn act(look: &Look, act: &'static Act, offer: &Offer<'_>) -> Markup {
    if look.who.scope < act.scope {
        return html! {};
    }
    let key = offer.fixed.iter().fold(format!("act-{}", act.name), |key, (_, value)| format!("{key}-{value}"));
    let (opener, button) =
        if offer.danger { ("button danger", "button danger solid") } else { ("button plain", "button") };
    html! {
        details.act name="acts" data-key=(key) {
            summary class=(opener) {
                @if let Some(icon) = offer.icon { (format::icon(icon)) }
                (offer.label)
            }
            form method="post" action={ "/act/" (act.name) } data-act {
                p { (offer.about) }
                (hidden(look, offer.fixed))
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
    let is_field = |name: &str| offer.fields.iter().any(|field| field.name == name);
    html! {
        "SELECT " (act.function) "("
        @for (at, name) in act.arguments.iter().enumerate() {
            @if at > 0 { ", " }
            @if is_field(name) {
                var data-of=(name) { "NULL" }
            } @else {
                (literal(offer.fixed.iter().find(|(key, _)| key == name).map(|it| it.1)))
            }
        }
        ");"
    }
}

/// A value as it stands in SQL.
fn literal(value: Option<&str>) -> String {
    match value {
        None => "NULL".to_owned(),
        Some(number) if number.parse::<i64>().is_ok_and(|read| read.to_string() == number) => number.to_owned(),
        Some(text) => format!("'{}'", text.replace('\'', "''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2_a_call_is_shown_as_sql_with_quoted_values() {
        let act =
            Act { name: "x", scope: Scope::Operator, function: "wa.pause", sql: "", arguments: &["session", "reason"] };
        assert_eq!(act.call(&[Some("o'neill"), None]), "SELECT wa.pause('o''neill');");
        assert_eq!(act.call(&[Some("42"), Some("x")]), "SELECT wa.pause(42, 'x');");
        assert_eq!(act.call(&[None, Some("+1")]), "SELECT wa.pause(NULL, '+1');");
    }
}
