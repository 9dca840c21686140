//! Flipping a bit of a ciphertext, so that its recipient sees a bad MAC and asks for it again.

use buffa::Message as _;
use wacore_binary::{Node, NodeContent};
use waproto::whatsapp::PreKeySignalMessage;

use super::super::node::text;

/// What stands behind the ciphertext in a Signal message: its MAC.
const MAC: usize = 8;
/// What stands behind it in a sender-key message: its signature.
const SIGNATURE: usize = 64;

/// Flips a bit in each `<enc>` of a message.
pub(super) fn corrupt(node: &mut Node) {
    if node.tag == "enc" {
        let kind = text(node, "type");
        if let Some(NodeContent::Bytes(sealed)) = &mut node.content {
            flip(&kind, sealed);
        }
    } else if let Some(NodeContent::Nodes(children)) = &mut node.content {
        children.iter_mut().for_each(corrupt);
    }
}

/// Flips a bit of the ciphertext proper. The keys and counters around it stay as they are, so that the recipient finds
/// its session and fails at the check that is meant to fail.
fn flip(kind: &str, sealed: &mut Vec<u8>) {
    match kind {
        "pkmsg" => {
            // The first message of a session carries the Signal message inside, and its own fields behind that.
            let Some((version, fields)) = sealed.split_first() else { return };
            let Ok(mut outer) = PreKeySignalMessage::decode_from_slice(fields) else { return };
            if let Some(inner) = &mut outer.message {
                flip_before(MAC, inner);
            }
            *sealed = [&[*version], outer.encode_to_vec().as_slice()].concat();
        }
        "skmsg" => flip_before(SIGNATURE, sealed),
        _ => flip_before(MAC, sealed),
    }
}

fn flip_before(trailer: usize, sealed: &mut [u8]) {
    let last = sealed.len().checked_sub(trailer + 1);
    if let Some(byte) = last.and_then(|last| sealed.get_mut(last)) {
        *byte ^= 1;
    }
}
