//! The small sandbox that each input gets, and the checks afterwards.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Once, OnceLock};

use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use super::super::Options;
use super::super::account::{Addressing, DeviceId};
use super::super::ca::Authority;
use super::super::control::router;
use super::super::media::Media;
use super::super::phone::Phone;
use super::super::saved::{self, Files};
use super::super::server::Server;
use super::client::Client;
use super::request::Request;

/// Has two linked devices, and is in the group.
pub(super) const ALICE: &str = "15550001";
/// Has one linked device, and created the group.
pub(super) const BOB: &str = "15550002";
/// Has no linked device, and her phone is switched off.
pub(super) const CAROL: &str = "15550003";
/// The group of the three.
pub(super) const GROUP: &str = "120363000000000001";

/// The media limit in bytes: small, so that an input can reach it.
const MEDIA_LIMIT: usize = 16 * 1024;
/// An address without a listener.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

/// A state file that is created once per process, and its media.
pub(super) struct Fixture {
    pub(super) state: Vec<u8>,
    pub(super) files: Files,
}

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    /// The number of panics on this thread; otherwise a panic in a task would be lost with the task.
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

static FIXTURE: OnceLock<Fixture> = OnceLock::new();

pub(super) fn options() -> Options {
    Options { media_limit: MEDIA_LIMIT, ledger_limit: 100, ..Options::default() }
}

/// A device that is linked in the fixture.
pub(super) fn device(number: &str, device: u16) -> DeviceId {
    DeviceId { number: number.to_owned(), device }
}

/// The state file that each sandbox of this process starts with.
pub(super) fn fixture() -> &'static Fixture {
    FIXTURE.get_or_init(|| RUNTIME.with(|runtime| runtime.block_on(make())))
}

async fn make() -> Fixture {
    let authority = Authority::new().expect("keys");
    let media = Media::new(NOWHERE, MEDIA_LIMIT).expect("a certificate");
    let server = Server::new(&options(), authority, media, 1);
    for number in [ALICE, BOB, CAROL] {
        Phone::create(&server, number, None).expect("a phone");
    }
    for number in [ALICE, ALICE, BOB] {
        Client::unlinked(&server).linked(&server, number).await;
    }
    let others = vec![ALICE.to_owned(), CAROL.to_owned()];
    let group = server.state().create_group(&server, BOB, "Friends".into(), Addressing::Lid, others, &[]);
    let (group, _) = group.expect("a group");
    let router = router(Arc::clone(&server));
    for (path, body) in [
        (format!("/phones/{BOB}/send"), json!({ "to": ALICE, "text": "hello" })),
        (format!("/phones/{ALICE}/send"), json!({ "to": BOB, "image": { "data": "aW1hZ2U=", "caption": "look" } })),
        (format!("/phones/{BOB}/send"), json!({ "to": format!("{group}@g.us"), "text": "hello, all" })),
        ("/phones".into(), json!({ "number": CAROL, "phone": "off" })),
        (format!("/phones/{BOB}/send"), json!({ "to": CAROL, "text": "are you there?" })),
    ] {
        let answer = Request::post(&path, &body).ask(&router).await;
        assert_eq!(answer.status, 200, "POST {path} {body}");
    }
    // Wait until the phones have sent everything to their devices and the devices have acknowledged it.
    for device in [device(ALICE, 1), device(ALICE, 2), device(BOB, 1)] {
        Client::login(&server, &device);
        let phone = server.state().accounts.get(&device.number).map(|account| account.phone.clone());
        phone.expect("a phone").settings().await.expect("a phone that is on");
    }
    for account in server.state().accounts.values_mut() {
        account.devices.values_mut().for_each(|device| device.queue.clear());
    }
    let (state, files) = saved::collect(&server).await.expect("the fixture can be saved");
    close(&server).await;
    // The group's name is random, and inputs must know it.
    let state = String::from_utf8(state).expect("JSON").replace(&group, GROUP).into_bytes();
    Fixture { state, files }
}

/// Runs an input against a sandbox of its own.
pub(super) fn run(input: impl AsyncFnOnce(Arc<Server>)) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.set(PANICS.get() + 1);
            before(info);
        }));
    });
    let (fixture, panics) = (fixture(), PANICS.get());
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let server = restore(&fixture.state).expect("the fixture can be read");
            input(Arc::clone(&server)).await;
            close(&server).await;
        });
    });
    assert_eq!(PANICS.get(), panics, "a task of the sandbox panicked");
}

/// The sandbox of a state file, with the media of the fixture.
pub(super) fn restore(state: &[u8]) -> Result<Arc<Server>, String> {
    saved::read(state, &options(), NOWHERE, &fixture().files).map_err(|error| error.to_string())
}

/// Ends all tasks of a sandbox.
pub(super) async fn close(server: &Server) {
    server.stop.cancel();
    server.tasks.close();
    server.tasks.wait().await;
}

/// Must hold after any input: the control API can read everything, and the state can be saved and restored.
pub(super) async fn check(server: &Arc<Server>) {
    read_everything(server).await;
    assert!(server.media.size_is_consistent(), "the counted bytes differ from the size of the files");
    let (state, files) = saved::collect(server).await.expect("the state can be saved");
    let again = saved::read(&state, &options(), NOWHERE, &files).expect("a saved state can be read");
    let (again_state, _) = saved::collect(&again).await.expect("a state that was read can be saved");
    let shape =
        |state: &[u8]| serde_json::from_slice::<Value>(state).expect("JSON")["accounts"].as_array().map(Vec::len);
    assert_eq!(shape(&state), shape(&again_state), "accounts were lost");
    close(&again).await;
}

/// Reads everything that the control API shows.
async fn read_everything(server: &Arc<Server>) {
    let numbers: Vec<String> = server.state().accounts.keys().cloned().collect();
    let router = router(Arc::clone(server));
    let mut paths: Vec<String> =
        ["/phones", "/groups", "/qr", "/verdict", "/ledger", "/stats", "/faults", "/ca"].map(str::to_owned).into();
    for number in numbers {
        let of = ["messages", "history", "about", "presence", "pace"].map(|what| format!("/phones/{number}/{what}"));
        paths.extend(of);
    }
    for path in paths {
        let answer = Request::get(&path).ask(&router).await;
        assert_eq!(answer.status, 200, "GET {path}: {}", String::from_utf8_lossy(&answer.body));
    }
}
