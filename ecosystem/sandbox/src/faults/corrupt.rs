//! Flips a bit of a ciphertext, so that the recipient finds a bad MAC and requests the message again.

use buffa::Message as _;
use wacore_binary::{Node, NodeContent};
use waproto::whatsapp::PreKeySignalMessage;

use super::super::node::text;

/// The length of the MAC at the end of a Signal message.
const MAC: usize = 8;
/// The length of the signature at the end of a sender-key message.
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

/// Flips a bit of the ciphertext itself. The keys and counters around it stay intact, so that the recipient finds its
/// session and fails at the MAC.
fn flip(kind: &str, sealed: &mut Vec<u8>) {
    match kind {
        "pkmsg" => {
            // The first message of a session wraps the Signal message, with its own fields after it.
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
