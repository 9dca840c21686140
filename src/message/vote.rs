//! Votes in polls. A vote is encrypted with a key made of the poll's secret and the addresses of its creator and its
//! voter: the very ones under which the two spoke, with the number or with the LID.

use super::json;
use super::meaning::question;
use super::unwrap;
use crate::db::storable::Storable;
use serde_json::Value;
use wacore::poll::{PollVoteCiphertext, compute_option_hash, decrypt_poll_vote_with_secret};
use wacore_binary::Jid;
use waproto::whatsapp as wa;

/// The addresses of a person, as far as they are known.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) number: Option<Jid>,
    pub(crate) lid: Option<Jid>,
}

impl Addresses {
    /// Adds an address, without device, unless one of its form is known.
    pub(crate) fn add(&mut self, jid: &Jid) {
        let form = if jid.is_lid() { &mut self.lid } else { &mut self.number };
        form.get_or_insert_with(|| jid.to_non_ad());
    }

    fn form(&self, lid: bool) -> Option<String> {
        let jid = if lid { &self.lid } else { &self.number };
        jid.as_ref().map(Jid::to_non_ad_string)
    }

    /// Whether this person has that address, which may be stored.
    pub(crate) fn has(&self, address: &str) -> bool {
        let address = Storable::id(address);
        [true, false].into_iter().filter_map(|lid| self.form(lid)).any(|own| Storable::id(&own) == address)
    }
}

/// What opens the votes in a poll.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Poll {
    options: Vec<String>,
    secret: Vec<u8>,
}

impl Poll {
    /// The poll of a row of `wa.outbound`, from its `content`.
    pub(crate) fn sent(content: &Value) -> Option<Self> {
        let options = content.get("options")?.as_array()?.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        Some(Self { options, secret: json::bytes(content.get("secret")?)? })
    }

    /// The poll of a row of `wa.inbox`, from its `message`.
    pub(crate) fn received(message: &Value) -> Option<Self> {
        let whole = json::read(message).ok()?;
        let content = unwrap::content(&whole);
        let secret = |message: &wa::Message| message.message_context_info.as_option()?.message_secret.clone();
        let options = question(content)?.options.iter().filter_map(|option| option.option_name.clone()).collect();
        Some(Self { options, secret: secret(&whole).or_else(|| secret(content))? })
    }

    /// The options that a vote in the poll `id` chose; `None` when it cannot be opened. People speak under one form of
    /// address in a chat (`lid`), but the poll may be older than that, and the two may differ.
    pub(crate) fn open(
        &self,
        id: &str,
        vote: PollVoteCiphertext<'_>,
        creator: &Addresses,
        voter: &Addresses,
        lid: bool,
    ) -> Option<Vec<String>> {
        let forms = [(lid, lid), (!lid, !lid), (lid, !lid), (!lid, lid)];
        let chosen = forms.into_iter().find_map(|(creator_lid, voter_lid)| {
            let (creator, voter) = (creator.form(creator_lid)?, voter.form(voter_lid)?);
            decrypt_poll_vote_with_secret(vote, &self.secret, id, &creator, &voter).ok()
        })?;
        let named = |hash: &Vec<u8>| self.options.iter().find(|option| compute_option_hash(option) == hash.as_slice());
        Some(chosen.iter().filter_map(named).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use wacore::poll::encrypt_poll_vote_with_secret;

    fn person(number: &str, lid: Option<&str>) -> Addresses {
        Addresses { number: Some(Jid::pn(number)), lid: lid.map(Jid::lid) }
    }

    #[test]
    fn m4_a_vote_opens_under_each_form_of_address() {
        let secret = vec![7; 32];
        let poll = Poll { options: vec!["A".into(), "B".into()], secret: secret.clone() };
        let (creator, voter) = (person("15550001", Some("915550001")), person("15550002", Some("915550002")));
        let chosen = [compute_option_hash("B").to_vec()];
        for (creator_lid, voter_lid) in [(true, true), (false, false), (true, false), (false, true)] {
            let (as_creator, as_voter) = (creator.form(creator_lid).expect("a"), voter.form(voter_lid).expect("b"));
            let sealed = encrypt_poll_vote_with_secret(&chosen, &secret, "P", &as_creator, &as_voter);
            let (payload, iv) = sealed.expect("a vote");
            let vote = PollVoteCiphertext { enc_payload: &payload, enc_iv: &iv };
            for lid in [true, false] {
                assert_eq!(poll.open("P", vote, &creator, &voter, lid), Some(vec!["B".to_owned()]));
            }
            assert_eq!(poll.open("Q", vote, &creator, &voter, true), None);
            assert_eq!(poll.open("P", vote, &creator, &person("15550003", None), true), None);
        }
    }

    #[test]
    fn m4_a_stored_poll_is_read_within_its_wrapper() {
        let buffer = json!({ "type": "Buffer", "data": "AQID" });
        let sent = Poll::sent(&json!({ "options": ["A"], "secret": buffer }));
        let poll = Some(Poll { options: vec!["A".into()], secret: vec![1, 2, 3] });
        assert_eq!(sent, poll);
        let received = json!({
            "message_context_info": { "message_secret": buffer },
            "ephemeral_message": { "message": { "poll_creation_message_v3": { "options": [{ "option_name": "A" }] } } },
        });
        assert_eq!(Poll::received(&received), poll);
        assert_eq!(Poll::received(&json!({ "conversation": "Hi" })), None);
    }
}
