//! Accounts and devices in the state file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::super::account::{Account, Bundle, Device, DeviceId, Properties};
use super::super::parcel::Parcel;
use super::super::phone::{Phone, ReadingSettings, SavedPhone};
use super::super::presence::Presence;
use super::super::profile::Profile;
use super::super::server::Server;
use super::super::settings::Settings;
use super::app_state::SavedAppState;
use super::{Blob, Files, StateError};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct SavedAccount {
    pub(super) number: String,
    lid: String,
    key: Blob,
    raw_id: u32,
    push_name: Option<String>,
    last_device: u16,
    #[serde(default)]
    passkey: bool,
    bundle: SavedBundle,
    devices: BTreeMap<u16, SavedDevice>,
    watchers: BTreeSet<DeviceId>,
    profile: Profile,
    settings: Settings,
    manner: ReadingSettings,
    app_state: SavedAppState,
    phone: SavedPhone,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedBundle {
    registration: Blob,
    identity: Blob,
    signed: Blob,
    one_time: Vec<Blob>,
    warned: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedDevice {
    noise_key: [u8; 32],
    identity: Blob,
    bundle: SavedBundle,
    introduced: bool,
    #[serde(alias = "history")]
    properties: Properties,
    queue: Vec<Blob>,
}

impl SavedBundle {
    fn of(bundle: &Bundle) -> Result<Self, StateError> {
        Ok(Self {
            registration: Blob(bundle.registration.clone()),
            identity: Blob(bundle.identity.clone()),
            signed: Blob::stanza(&bundle.signed)?,
            one_time: bundle.one_time.iter().map(Blob::stanza).collect::<Result<_, _>>()?,
            warned: bundle.warned,
        })
    }

    fn restore(self) -> Result<Bundle, StateError> {
        Ok(Bundle {
            registration: self.registration.0,
            identity: self.identity.0,
            signed: self.signed.node()?,
            one_time: self.one_time.iter().map(Blob::node).collect::<Result<_, _>>()?,
            warned: self.warned,
        })
    }
}

impl SavedDevice {
    fn of(device: &Device) -> Result<Self, StateError> {
        Ok(Self {
            noise_key: device.noise_key,
            identity: Blob(device.identity.clone()),
            bundle: SavedBundle::of(&device.bundle)?,
            introduced: device.introduced,
            properties: device.properties.clone(),
            queue: device.queue.iter().map(|parcel| Blob(parcel.bytes().to_vec())).collect(),
        })
    }

    fn restore(self) -> Result<Device, StateError> {
        let mut device = Device::new(self.noise_key, self.identity.0, self.bundle.restore()?, self.properties);
        device.introduced = self.introduced;
        for stanza in self.queue {
            device.queue.push_back(Parcel::new(&stanza.node()?, None)?);
        }
        Ok(device)
    }
}

impl SavedAccount {
    pub(super) fn of(account: &Account, phone: SavedPhone) -> Result<Self, StateError> {
        let devices = account.devices.iter().map(|(id, device)| Ok((*id, SavedDevice::of(device)?)));
        Ok(Self {
            number: account.number.clone(),
            lid: account.lid.clone(),
            key: Blob::key(&account.key),
            raw_id: account.raw_id,
            push_name: account.push_name.clone(),
            last_device: account.last_device,
            passkey: account.passkey,
            bundle: SavedBundle::of(&account.phone_bundle)?,
            devices: devices.collect::<Result<_, StateError>>()?,
            watchers: account.watchers.clone(),
            profile: account.profile.clone(),
            settings: account.settings.clone(),
            manner: account.manner,
            app_state: SavedAppState::of(&account.app_state),
            phone,
        })
    }

    /// Restores the account and starts its phone. No device is online.
    pub(super) fn restore(self, server: &Arc<Server>, files: &Files) -> Result<Account, StateError> {
        let key = self.key.pair()?;
        let devices = self.devices.into_iter().map(|(id, device)| Ok((id, device.restore()?)));
        Ok(Account {
            phone: Phone::restore(server, &self.number, &key, self.phone, files)?,
            number: self.number,
            lid: self.lid,
            key,
            raw_id: self.raw_id,
            phone_bundle: self.bundle.restore()?,
            devices: devices.collect::<Result<_, StateError>>()?,
            push_name: self.push_name,
            profile: self.profile,
            presence: Presence::default(),
            settings: self.settings,
            manner: self.manner,
            watchers: self.watchers,
            last_device: self.last_device,
            passkey: self.passkey,
            signed_list: Mutex::default(),
            app_state: self.app_state.restore()?,
        })
    }
}
