//! The API's description.

use axum::Json;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

use crate::{
    catalog, certificate, event, grant, host, identity, journal, lock, recording, request, review, trust,
};

#[derive(OpenApi)]
#[openapi(
    info(title = "stint broker", description = "Requests, reviews, grants, locks, hosts and the record. \
        `/v1/host/*` is for hosts, which come with their client certificate; everything else is for people, with a bearer token."),
    paths(
        super::router::health,
        identity::routes::sign_in, identity::routes::renew, identity::routes::sign_out, identity::routes::me,
        identity::routes::change_password, identity::users::list, identity::users::add, identity::users::alter,
        identity::users::reset,
        trust::routes::roots, trust::routes::publish_root, trust::routes::current_roster, trust::routes::publish_roster,
        catalog::routes::list,
        request::routes::create, request::routes::list, request::routes::show, request::routes::cancel,
        review::routes::review,
        grant::routes::list, grant::routes::show, grant::routes::activate, grant::routes::end, grant::routes::revoke,
        grant::routes::extend, certificate::routes::certify,
        lock::routes::add, lock::routes::list, lock::routes::show, lock::routes::remove,
        host::routes::list, host::routes::show, host::enroll::invite, host::enroll::enroll, host::enroll::renew,
        host::stream::stream, host::stream::update, host::ack::acknowledge,
        journal::routes::mark, journal::routes::ship, journal::routes::read,
        recording::routes::put, recording::routes::list, recording::routes::fetch,
        event::routes::list,
    ),
    components(schemas(stint_api::ApiError)),
    security(("token" = [])),
    modifiers(&Token)
)]
struct Description;

struct Token;

impl utoipa::Modify for Token {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        openapi.components.get_or_insert_default().add_security_scheme("token", scheme);
    }
}

/// `GET /v1/openapi.json`.
pub(crate) async fn serve() -> Response {
    Json(Description::openapi()).into_response()
}
