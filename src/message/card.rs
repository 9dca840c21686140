//! Messages with buttons, lists and forms, the answers to them, events, invitations and other cards: their kinds, and
//! what a person reads of them.

use wacore::proto_helpers::MessageExt as _;
use waproto::whatsapp as wa;
use waproto::whatsapp::message::{buttons_message, buttons_response_message, template_message};

/// A kind of `wa.inbox`, and the words for `body`.
type Card = (&'static str, Option<String>);

/// Reads a card; `None` for a message that is none. The message is without wrappers.
pub(crate) fn card(message: &wa::Message) -> Option<Card> {
    answer(message).or_else(|| offer(message)).or_else(|| invitation(message)).or_else(|| notice(message))
}

/// An answer to buttons, a list or a form: the chosen text.
fn answer(message: &wa::Message) -> Option<Card> {
    if let Some(it) = message.buttons_response_message.as_option() {
        let chosen = it.response.as_ref().map(|buttons_response_message::Response::SelectedDisplayText(text)| text);
        return Some(("button_reply", lines([chosen.or(it.selected_button_id.as_ref())])));
    }
    if let Some(it) = message.template_button_reply_message.as_option() {
        return Some(("button_reply", lines([it.selected_display_text.as_ref().or(it.selected_id.as_ref())])));
    }
    if let Some(it) = message.list_response_message.as_option() {
        return Some(("list_reply", lines([it.title.as_ref(), it.description.as_ref()])));
    }
    let it = message.interactive_response_message.as_option()?;
    Some(("interactive_reply", lines([it.body.as_option().and_then(|body| body.text.as_ref())])))
}

/// Something to choose from: title and text.
fn offer(message: &wa::Message) -> Option<Card> {
    if let Some(it) = message.buttons_message.as_option() {
        let title = match &it.header {
            Some(buttons_message::Header::Text(title)) => Some(title),
            _ => None,
        };
        return Some(("buttons", lines([title, it.content_text.as_ref()])));
    }
    if let Some(it) = message.list_message.as_option() {
        return Some(("list", lines([it.title.as_ref(), it.description.as_ref()])));
    }
    if let Some(it) = message.template_message.as_option() {
        return Some(("template", template(it)));
    }
    if let Some(it) = message.highly_structured_message.as_option() {
        return Some(("template", it.hydrated_hsm.as_option().and_then(template)));
    }
    if let Some(it) = message.interactive_message.as_option() {
        return Some(("interactive", interactive(it)));
    }
    if let Some(it) = message.product_message.as_option() {
        let product = it.product.as_option();
        let (title, about) = (product.and_then(|it| it.title.as_ref()), product.and_then(|it| it.description.as_ref()));
        return Some(("product", lines([title, about, it.body.as_ref()])));
    }
    let it = message.order_message.as_option()?;
    Some(("order", lines([it.order_title.as_ref(), it.message.as_ref()])))
}

fn template(template: &wa::message::TemplateMessage) -> Option<String> {
    let filled = match &template.format {
        Some(template_message::Format::InteractiveMessageTemplate(it)) => return interactive(it),
        Some(template_message::Format::HydratedFourRowTemplate(it)) => Some(&**it),
        _ => template.hydrated_template.as_option(),
    }?;
    let title = match &filled.title {
        Some(template_message::hydrated_four_row_template::Title::HydratedTitleText(title)) => Some(title),
        _ => None,
    };
    lines([title, filled.hydrated_content_text.as_ref()])
}

fn interactive(message: &wa::message::InteractiveMessage) -> Option<String> {
    let title = message.header.as_option().and_then(|header| header.title.as_ref());
    lines([title, message.body.as_option().and_then(|body| body.text.as_ref())])
}

/// An event or an invitation: name and description.
fn invitation(message: &wa::Message) -> Option<Card> {
    if let Some(it) = message.event_message.as_option() {
        let place = it.location.as_option().and_then(|place| place.name.as_ref());
        return Some(("event", lines([it.name.as_ref(), it.description.as_ref(), place])));
    }
    if let Some(it) = message.event_invite_message.as_option() {
        return Some(("event_invite", lines([it.event_title.as_ref(), it.caption.as_ref()])));
    }
    if let Some(it) = message.group_invite_message.as_option() {
        return Some(("group_invite", lines([it.group_name.as_ref(), it.caption.as_ref()])));
    }
    let it = message.newsletter_admin_invite_message.as_option()?;
    Some(("newsletter_invite", lines([it.newsletter_name.as_ref(), it.caption.as_ref()])))
}

/// Other cards.
fn notice(message: &wa::Message) -> Option<Card> {
    let note = |note: Option<&wa::Message>| note.and_then(wa::Message::text_content).map(str::to_owned);
    if let Some(it) = message.send_payment_message.as_option() {
        return Some(("payment", note(it.note_message.as_option())));
    }
    if let Some(it) = message.request_payment_message.as_option() {
        return Some(("payment_request", note(it.note_message.as_option())));
    }
    if let Some(it) = message.sticker_pack_message.as_option() {
        return Some(("sticker_pack", lines([it.name.as_ref(), it.caption.as_ref()])));
    }
    if let Some(it) = message.scheduled_call_creation_message.as_option() {
        return Some(("scheduled_call", lines([it.title.as_ref()])));
    }
    if let Some(it) = message.poll_result_snapshot_message.as_option() {
        return Some(("poll_result", lines([it.name.as_ref()])));
    }
    let wordless = [
        ("call_log", message.call_log_messsage.is_set()),
        ("album", message.album_message.is_set()),
        ("phone_number_request", message.request_phone_number_message.is_set()),
    ];
    wordless.into_iter().find_map(|(kind, is)| is.then_some((kind, None)))
}

/// The parts that have words, one on each line.
fn lines<const PARTS: usize>(parts: [Option<&String>; PARTS]) -> Option<String> {
    let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).filter(|part| !part.is_empty()).collect();
    (!parts.is_empty()).then(|| parts.join("\n"))
}
