//! Queries: a table maps namespace and first child to the function that answers.

use wacore_binary::Node;
use wacore_binary::builder::NodeBuilder;

use super::super::node::{first_tag, server_jid, text};
use super::super::pairing;
use super::{Context, app_state, group, id, media, mex, prekeys, profile, session, settings, usync};

/// The answer to a query.
pub(in super::super) enum Answer {
    /// `<iq type=result>` with these children.
    Result(Vec<Node>),
    /// `<iq type=error>` with this code and text.
    Refused(u16, &'static str),
    /// The function has already sent the answer, because something had to follow it.
    Sent,
}

type Handler = fn(&mut Context<'_>, &Node) -> Answer;

/// Stands for any child, or none.
const ANY: &str = "*";

/// Namespace, tag of the first child, handler.
const ROUTES: &[(&str, &str, Handler)] = &[
    ("encrypt", "registration", prekeys::upload),
    ("encrypt", "rotate", prekeys::rotate),
    ("encrypt", "count", prekeys::count),
    ("encrypt", "digest", prekeys::digest),
    ("encrypt", "key", prekeys::fetch),
    ("encrypt", "key_fetch", prekeys::fetch),
    ("usync", "usync", usync::query),
    ("w:sync:app:state", "sync", app_state::sync),
    ("w:m", "media_conn", media::connection),
    ("w:profile:picture", ANY, profile::picture),
    ("status", "status", profile::about),
    ("w:g2", ANY, group::answer),
    ("passive", "active", session::activate),
    ("passive", "passive", session::deactivate),
    ("md", "link_code_companion_reg", pairing::companion_reg),
    ("md", "passkey_request_options", pairing::passkey_options),
    ("md", "ref", pairing::passkey_reference),
    ("md", "passkey_prologue", pairing::passkey_prologue),
    ("md", "companion_nonce", pairing::passkey_nonce),
    ("md", "encrypted_pairing_request", pairing::passkey_request),
    ("md", "remove-companion-device", session::remove_device),
    ("w:p", ANY, session::pong),
    ("urn:xmpp:ping", ANY, session::pong),
    ("urn:xmpp:whatsapp:dirty", "clean", session::pong),
    ("abt", "props", session::properties),
    ("w", "props", session::properties),
    ("blocklist", ANY, settings::blocklist),
    ("privacy", "privacy", settings::privacy),
    ("privacy", "tokens", settings::tokens),
    ("disappearing_mode", "disappearing_mode", settings::disappearing),
    ("w:biz", "business_profile", session::business_profile),
    ("w:mex", "query", mex::query),
    // Clients wait for the answer but use none of its content.
    ("urn:xmpp:whatsapp:push", ANY, session::pong),
    ("w:stats", ANY, session::pong),
];

/// Answers a query, or takes the client's answer to a query of the server.
pub(super) fn answer(context: &mut Context<'_>, node: &Node, signature: String) {
    if matches!(text(node, "type").as_str(), "result" | "error") {
        if let Some(sign) = node.get_optional_child("pair-device-sign") {
            pairing::signed(context.server, &id(node), sign);
        }
        return;
    }
    let (namespace, child) = (text(node, "xmlns"), first_tag(node));
    let route = ROUTES.iter().find(|(space, tag, _)| *space == namespace && (*tag == child || *tag == ANY));
    let answer = if let Some((_, _, handler)) = route {
        handler(context, node)
    } else {
        context.server.stats.unknown(signature);
        Answer::Refused(501, "feature-not-implemented")
    };
    reply(context, node, answer);
}

pub(in super::super) fn reply(context: &Context<'_>, query: &Node, answer: Answer) {
    let (kind, children) = match answer {
        Answer::Result(children) => ("result", children),
        Answer::Refused(code, text) => {
            ("error", vec![NodeBuilder::new("error").attr("code", code).attr("text", text).build()])
        }
        Answer::Sent => return,
    };
    let iq = NodeBuilder::new("iq").attr("from", server_jid()).attr("type", kind).attr("id", id(query));
    context.link.send(if children.is_empty() { iq.build() } else { iq.children(children).build() });
}
