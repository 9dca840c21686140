//! The namespace `/marketplace` (H3, H4), with `socket.io-client` in Node.js and in Chromium.

mod balancer;
mod client;
mod limits;
mod linking;
mod pages;
mod processes;

use crate::support::db::TestDb;
use crate::support::until::until;
use crate::support::world::World;
use crate::web::Pages;
use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use wagres::config::{Config, Secret};

pub(crate) const SECRET: &str = "a secret of the tests";
const NUMBER: &str = "15550001";

/// The partner's number of a company of these tests.
const fn salon_of(company: i64) -> i64 {
    company + 4_000
}

/// A token as `wagres` makes it, valid for so many seconds.
fn token(secret: &str, company: i64, seconds: i64) -> Result<String> {
    token_for(secret, company, salon_of(company), seconds)
}

/// The same with another number of the partner.
fn token_for(secret: &str, company: i64, salon: i64, seconds: i64) -> Result<String> {
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let iat = chrono::Utc::now().timestamp() + seconds - 3600;
    let claims = json!({ "company_id": company, "salon_id": salon, "iat": iat, "exp": iat + 3600 });
    let text = format!("{}.{}", part(json!({ "alg": "HS256", "typ": "JWT" })), part(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())?;
    mac.update(text.as_bytes());
    Ok(format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())))
}

/// A valid token of a company.
fn token_of(company: i64) -> Result<String> {
    token(SECRET, company, 3600)
}

/// The n-th company of a database, with a session `company_<n>`.
async fn company(db: &TestDb, n: i64) -> Result<i64> {
    // As wa.enter_company does, without a call to the partner.
    let name = format!("company_{n}");
    sqlx::query("SELECT wa.add_tenant($1), wa.add_session($1, $1)").bind(&name).execute(&db.pool).await?;
    let added = "INSERT INTO wa.company (salon_id, session_id, tenant) SELECT $1, session_id, tenant FROM wa.session
                 WHERE name = $2 RETURNING company_id";
    let id = sqlx::query_scalar(added).bind(salon_of(n)).bind(name).fetch_one(&db.pool).await?;
    anyhow::ensure!(n == id, "{n} is {id}");
    Ok(id)
}

/// The settings of the marketplace, with limits that no test meets by chance.
fn settings(config: &mut Config) {
    config.marketplace.partner_token = Some(Secret::new("a token of the partner"));
    config.marketplace.jwt_secret = Some(Secret::new(SECRET));
    config.marketplace.sockets_per_minute = 1_000_000;
    config.marketplace.page_grace_seconds = 3;
}

/// The pages with the marketplace.
async fn serve(db: &TestDb) -> Result<Pages> {
    Pages::with(db, settings).await
}

/// The text of a QR code in the picture of a data URL, as a camera reads it.
fn read_picture(data_url: &str) -> Result<String> {
    let data = data_url.strip_prefix("data:image/png;base64,").context("no data URL")?;
    let picture = image::load_from_memory(&BASE64_STANDARD.decode(data)?)?.to_luma8();
    let (width, height) = picture.dimensions();
    let mut prepared =
        rqrr::PreparedImage::prepare_from_greyscale(usize::try_from(width)?, usize::try_from(height)?, |x, y| {
            picture.as_raw()[y * width as usize + x]
        });
    let grids = prepared.detect_grids();
    Ok(grids.first().context("no code in the picture")?.decode()?.1)
}

/// The phone scans this text; false if it does not take the code.
async fn scan(world: &World, qr: &str) -> Result<bool> {
    let body = Some(json!({ "qr": qr }));
    Ok(world.control.request("POST", &format!("/phones/{NUMBER}/scan"), body).await?.0 == 200)
}

/// Waits until a statement that counts rows gives this number.
async fn counts(world: &World, query: &str, wanted: i64) -> Result<()> {
    until(query, async || {
        let count = world.count(query).await?;
        Ok(if count == wanted { Ok(()) } else { Err(count) })
    })
    .await
}
