//! Profiles: pictures and about texts.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::super::phone::Data;
use super::super::profile::{self, Profile};
use super::super::server::Server;
use super::Shared;
use super::request::{Body, Failure, Outcome, digits};

pub(super) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/phones/{number}/picture", get(picture).post(set_picture).delete(remove_picture))
        .route("/phones/{number}/about", get(about).post(set_about))
}

fn profile_of(server: &Server, number: &str) -> Result<(String, Profile), Failure> {
    let number = digits("number", number)?;
    let profile = server.state().accounts.get(&number).map(|account| account.profile.clone());
    profile.map(|profile| (number.clone(), profile)).ok_or_else(|| Failure::no_phone(&number))
}

async fn picture(State(server): Shared, Path(number): Path<String>) -> Result<impl IntoResponse, Failure> {
    let (number, profile) = profile_of(&server, &number)?;
    let missing = || Failure::missing(format!("number: {number} has no picture"));
    let picture = profile.picture.ok_or_else(missing)?;
    let bytes = server.media.get(&picture.direct_path).map_err(|_| missing())?;
    Ok(([(header::CONTENT_TYPE, "image/jpeg")], bytes))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPicture {
    data: Data,
}

async fn set_picture(State(server): Shared, Path(number): Path<String>, Body(body): Body<NewPicture>) -> Outcome {
    change(&server, &number, Some(body.data.0))
}

async fn remove_picture(State(server): Shared, Path(number): Path<String>) -> Outcome {
    change(&server, &number, None)
}

fn change(server: &Server, number: &str, picture: Option<bytes::Bytes>) -> Outcome {
    let (number, _) = profile_of(server, number)?;
    Ok(Json(json!({ "picture": profile::set_picture(server, &number, None, picture)? })))
}

async fn about(State(server): Shared, Path(number): Path<String>) -> Outcome {
    Ok(Json(json!({ "about": profile_of(&server, &number)?.1.about })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewAbout {
    text: String,
}

async fn set_about(State(server): Shared, Path(number): Path<String>, Body(body): Body<NewAbout>) -> Outcome {
    let (number, _) = profile_of(&server, &number)?;
    profile::set_about(&server, &number, None, &body.text);
    Ok(Json(json!({ "about": body.text })))
}
