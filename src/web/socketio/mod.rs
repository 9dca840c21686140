//! The Socket.IO namespace `/marketplace`, on which existing front ends link a company's phone (H3).
//!
//! A page connects with the token that it got from `wagres`, and linking begins. What a page is told comes from rows
//! (`board`), so it does not matter which web process it is connected to. A refusal is an event on an accepted socket,
//! because existing pages do not hear `connect_error`.

mod board;
mod events;
mod talk;
mod told;

use super::client::Client;
use super::marketplace::Company;
use super::marketplace::token::Tokens;
use super::windows::Windows;
use super::{Web, guard};
use crate::config::{MarketplaceConfig, OriginPattern, QrFormat};
use axum::Router;
use axum::http::{HeaderMap, header};
use axum::middleware;
use board::Board;
use events::{Ask, Code, NAMESPACE, NoCode, REQUEST_PAIRING_CODE, REQUEST_QR, Say};
use serde_json::Value;
use socketioxide::extract::{SocketRef, TryData};
use socketioxide::{ParserConfig, SocketIo};
use std::sync::Arc;
use std::time::Duration;
use talk::Talk;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The most bytes of a request or message of a page.
const MOST_BYTES: usize = 16 * 1024;
/// How long a client may take to join the namespace.
const JOINING: Duration = Duration::from_secs(10);
/// How long open connections may take to close at a stop.
const CLOSING: Duration = Duration::from_secs(2);
/// Requests of a page that wait; more are refused, or those for a QR code dropped.
const ASKS: usize = 8;

/// What all pages share.
#[derive(Clone)]
struct Marketplace(Arc<Shared>);

struct Shared {
    web: Web,
    board: Board,
    tokens: Tokens,
    /// Connections of each address.
    joins: Windows<Client>,
    settings: MarketplaceConfig,
}

/// The running namespace.
pub(super) struct Sockets {
    io: SocketIo,
    market: Marketplace,
}

/// The routes, and what keeps them.
pub(super) fn open(web: &Web, settings: &MarketplaceConfig, tokens: Tokens) -> (Router, Sockets) {
    let hold = Duration::from_secs(settings.page_grace_seconds.into());
    let market = Marketplace(Arc::new(Shared {
        web: web.clone(),
        board: Board::new(web.pool.clone(), hold),
        tokens,
        joins: Windows::new(settings.sockets_per_minute),
        settings: settings.clone(),
    }));
    let parser = ParserConfig::common().max_incoming_binary_buf_size(MOST_BYTES).max_incoming_binaries(1);
    let (service, io) = SocketIo::builder()
        .max_payload(MOST_BYTES as u64)
        .ws_max_message_size(MOST_BYTES)
        .ws_max_frame_size(MOST_BYTES)
        .connect_timeout(JOINING)
        .with_parser(parser)
        .build_svc();
    let joined = market.clone();
    io.ns(NAMESPACE, async move |socket: SocketRef, auth: TryData<Value>| joined.join(socket, auth.0.ok().as_ref()));
    let origins: Arc<[OriginPattern]> = settings.origins.clone().into();
    let guarded = middleware::from_fn_with_state((web.clone(), origins), guard::cross_origin);
    let router =
        Router::new().route_service("/socket.io", service.clone()).route_service("/socket.io/", service).layer(guarded);
    (router, Sockets { io, market })
}

impl Sockets {
    /// Reads rows for the pages until `stop`; then closes the connections, so that the pages connect to another process.
    pub(super) async fn keep(self, stop: CancellationToken) {
        let Shared { web, board, joins, .. } = &*self.market.0;
        let housekeeping = async {
            loop {
                tokio::time::sleep(Duration::from_mins(1)).await;
                joins.forget();
            }
        };
        tokio::select! {
            () = board.clone().keep(web.hub.clone()) => {}
            () = housekeeping => {}
            () = stop.cancelled() => {}
        }
        let _ = tokio::time::timeout(CLOSING, self.io.close()).await;
    }
}

impl Marketplace {
    /// A socket has joined the namespace.
    fn join(&self, socket: SocketRef, auth: Option<&Value>) {
        let Shared { web, board, tokens, joins, settings } = &*self.0;
        let drawn = settings.qr_format == QrFormat::Png;
        let refuse = |socket: SocketRef, code, message: &str| {
            talk::say_to(&socket, Say::error(code, message), drawn);
            let _ = socket.disconnect();
        };
        let parts = socket.req_parts();
        let client = parts.extensions.get::<Client>().copied().unwrap_or_else(Client::unknown);
        let token = token_of(&parts.headers, auth, parts.uri.query());
        if joins.take(client).is_over {
            return refuse(socket, Code::RateLimit, "too many connections from this address; try again in a minute");
        }
        let Some(claims) = token.and_then(|token| tokens.verify(&token).ok()) else {
            return refuse(socket, Code::InvalidToken, "the token is missing, not valid, or has expired");
        };
        let Ok(share) = web.hub.stream_for(client) else {
            return refuse(socket, Code::RateLimit, "too many open pages from this address");
        };
        let (asked, asks) = mpsc::channel(ASKS);
        let gone = CancellationToken::new();
        let ask = asked.clone();
        socket.on(REQUEST_QR, async move || drop(ask.try_send(Ask::Qr)));
        socket.on(REQUEST_PAIRING_CODE, async move |socket: SocketRef, TryData(argument): TryData<Value>| {
            if asked.try_send(Ask::code(argument.ok().as_ref())).is_err() {
                let say = Say::no_code(NoCode::RequestInProgress, "other requests of this page are under way");
                talk::say_to(&socket, say, drawn);
            }
        });
        let left = gone.clone();
        socket.on_disconnect(async move || left.cancel());
        let phone = settings.phone.clone().filter(|_| settings.pairing_code);
        let (web, board) = (web.clone(), board.clone());
        let company = Company { id: claims.company_id, salon_id: claims.salon_id };
        let talk = Talk { web, board, socket, company, drawn, phone, asks, gone };
        tokio::spawn(async move {
            talk.run().await;
            drop(share);
        });
    }
}

/// The token of a page: of the header `Authorization`, else of the handshake's `auth`, else of its query.
fn token_of(headers: &HeaderMap, auth: Option<&Value>, query: Option<&str>) -> Option<String> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = header.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    });
    let of_auth = || auth?.get("token")?.as_str().map(str::to_owned);
    let of_query = || {
        let pairs = url::form_urlencoded::parse(query?.as_bytes());
        pairs.into_iter().find(|(key, _)| key == "token").map(|(_, value)| value.into_owned())
    };
    [bearer, of_auth(), of_query()].into_iter().flatten().find(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn h3_the_token_is_taken_from_header_auth_and_query_in_this_order() {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", "Bearer a".parse().expect("a value"));
        let auth = json!({ "token": "b" });
        let query = Some("EIO=4&token=c%2Bc&transport=polling");
        let none = HeaderMap::new();
        assert_eq!(token_of(&headers, Some(&auth), query).as_deref(), Some("a"));
        assert_eq!(token_of(&none, Some(&auth), query).as_deref(), Some("b"));
        assert_eq!(token_of(&none, Some(&json!({ "token": 7 })), query).as_deref(), Some("c+c"));
        assert_eq!(token_of(&none, None, query).as_deref(), Some("c+c"));
        assert_eq!(token_of(&none, Some(&json!({ "token": "" })), Some("EIO=4")), None);
        headers.insert("authorization", "Basic a".parse().expect("a value"));
        assert_eq!(token_of(&headers, None, None), None);
    }
}
