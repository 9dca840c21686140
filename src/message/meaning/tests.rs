use super::*;
use crate::message::json;
use buffa::MessageField;
use serde_json::json;

/// Kind, body, quoted id and target id of the message with this JSON.
fn columns(message: &Value) -> Value {
    let message = json::read(message).expect("a message");
    match received(&message) {
        Received::Message(Meaning { kind, body, quoted_id, target_id, .. }) => {
            json!([kind, body, quoted_id, target_id])
        }
        Received::Notice(notice) => json!(format!("{notice:?}")),
    }
}

#[test]
fn m4_answers_have_the_chosen_text_and_the_message_that_they_answer() {
    let context = json!({ "stanza_id": "Q" });
    for (field, answer, kind) in [
        ("buttons_response_message", json!({ "response": { "SelectedDisplayText": "Yes" } }), "button_reply"),
        ("buttons_response_message", json!({ "selected_button_id": "Yes" }), "button_reply"),
        (
            "template_button_reply_message",
            json!({ "selected_id": "1", "selected_display_text": "Yes" }),
            "button_reply",
        ),
        ("list_response_message", json!({ "title": "Yes" }), "list_reply"),
        ("interactive_response_message", json!({ "body": { "text": "Yes" } }), "interactive_reply"),
    ] {
        let mut answer = answer;
        answer["context_info"] = context.clone();
        let expected = json!([kind, "Yes", "Q", null]);
        assert_eq!(columns(&json!({ field: answer })), expected, "{field}");
        let disappearing = json!({ "ephemeral_message": { "message": { field: answer } } });
        assert_eq!(columns(&disappearing), expected, "{field} within a wrapper");
    }
}

#[test]
fn m4_cards_have_a_kind_and_what_a_person_reads() {
    for (message, kind, body) in [
        (
            json!({ "buttons_message": { "header": { "Text": "Lunch" }, "content_text": "Soup?" } }),
            "buttons",
            "Lunch\nSoup?",
        ),
        (json!({ "list_message": { "title": "Lunch", "description": "Choose" } }), "list", "Lunch\nChoose"),
        (
            json!({ "template_message": { "hydrated_template": { "hydrated_content_text": "Your code" } } }),
            "template",
            "Your code",
        ),
        (
            json!({ "interactive_message": { "header": { "title": "Shop" }, "body": { "text": "Pay" } } }),
            "interactive",
            "Shop\nPay",
        ),
        (json!({ "event_message": { "name": "Party", "description": "At ten" } }), "event", "Party\nAt ten"),
        (json!({ "group_invite_message": { "group_name": "Team", "caption": "Come" } }), "group_invite", "Team\nCome"),
        (json!({ "order_message": { "order_title": "Two cakes" } }), "order", "Two cakes"),
    ] {
        assert_eq!(columns(&message), json!([kind, body, null, null]));
    }
    assert_eq!(columns(&json!({ "call_log_messsage": { "is_video": true } })), json!(["call_log", null, null, null]));
    let child = json!({ "associated_child_message": { "message": { "image_message": { "caption": "One" } } } });
    assert_eq!(columns(&child), json!(["image", "One", null, null]));
    assert_eq!(columns(&json!({})), json!(["unknown", null, null, null]));
    let protocol = json!({ "protocol_message": { "type": "CHAT_THEME_SETTING" } });
    assert_eq!(columns(&protocol), json!(["unknown", null, null, null]));
}

#[test]
fn r5_wrappers_within_wrappers_end() {
    let mut message = wa::Message { conversation: Some("deep".into()), ..Default::default() };
    for _ in 0..50 {
        let wrapper = wa::message::FutureProofMessage { message: MessageField::some(message) };
        message = wa::Message { spoiler_message: MessageField::some(wrapper), ..Default::default() };
    }
    let Received::Message(meaning) = received(&message) else { panic!("it is a message") };
    assert_eq!(meaning.kind, "unknown");
}
