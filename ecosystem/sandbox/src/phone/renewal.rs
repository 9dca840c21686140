//! Registering the number again on another phone: new keys, and the end of everything that used the old ones.

use wacore_binary::builder::NodeBuilder;

use super::super::account::{Addressing, DeviceId};
use super::super::ca::new_key;
use super::super::node::unix_now;
use super::super::pairing;
use super::PhoneError;
use super::keys::Keys;
use super::worker::Worker;

impl Worker {
    /// Creates new keys, unlinks every device, and notifies the devices that know the account of its new identity. The
    /// owner's messages stay, as after a restored backup.
    pub(super) fn reregister(&mut self) -> Result<(), PhoneError> {
        let key = new_key();
        let (keys, bundle) = Keys::new(&key)?;
        let number = &self.own.number;
        let devices: Vec<u16> = {
            let mut state = self.server.state();
            let account = state.accounts.get_mut(number).ok_or_else(|| PhoneError::NoAccount(number.clone()))?;
            account.key = key;
            account.raw_id = rand::random::<u32>() >> 1;
            account.phone_bundle = bundle;
            account.devices.keys().copied().collect()
        };
        self.keys = keys;
        for device in devices {
            pairing::unlink(&self.server, &DeviceId { number: number.clone(), device });
        }
        let mut state = self.server.state();
        let Some(account) = state.accounts.get(number) else { return Ok(()) };
        let (from, lid) = (account.jid(Addressing::Pn, 0), account.jid(Addressing::Lid, 0));
        for watcher in account.watchers.clone() {
            let notification = NodeBuilder::new("notification")
                .attr("from", from.clone())
                .attr("lid", lid.clone())
                .attr("type", "encrypt")
                .attr("id", self.server.stanza_id())
                .attr("t", unix_now())
                .children([NodeBuilder::new("identity").build()])
                .build();
            state.deliver(&watcher, notification, &self.server.stats);
        }
        Ok(())
    }
}
