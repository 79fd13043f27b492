//! The REST API, `/api/v1/…`. The routes are registered together with their description, so that none is missing in it.

use axum::{Json, extract::DefaultBodyLimit, response::IntoResponse, routing::get};
use serde::Serialize;
use utoipa::{
    Modify, OpenApi, ToSchema,
    openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme},
};
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt as _},
    routes,
};

use super::{App, AppRouter, body::MOST_BYTES_OF_A_JOB};

pub(super) mod balancers;
pub(super) mod events;
pub(super) mod kinds;
pub(super) mod nodes;
pub(super) mod placements;
pub(super) mod sessions;
pub(super) mod sign_in_codes;
pub(super) mod user_ids;

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// To be sent as `after` for what follows; null where nothing does.
    pub next: Option<String>,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Evenkeel",
        description = "Sessions and nodes of a cluster. Times are RFC 3339 in UTC; errors are RFC 9457 problem documents.",
        license(name = "MIT OR Apache-2.0")
    ),
    modifiers(&SecuritySchemes),
    security(("token" = []), ("cookie" = []))
)]
struct Description;

struct SecuritySchemes;

impl Modify for SecuritySchemes {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        let cookie = ApiKeyValue::new(super::identity::COOKIE);
        components.add_security_scheme("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    }
}

fn described() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(
            routes!(sessions::list::list_sessions, sessions::create::create_session)
                .layer(DefaultBodyLimit::max(MOST_BYTES_OF_A_JOB)),
        )
        .routes(routes!(sessions::get::get_session, sessions::end::end_session, sessions::rename::rename_session))
        .routes(routes!(sessions::suspend_all::suspend_all_sessions))
        .routes(routes!(sessions::end_all::end_all_sessions))
        .routes(routes!(sessions::suspend::suspend_session))
        .routes(routes!(sessions::resume::resume_session))
        .routes(routes!(sessions::log::get_session_log))
        .routes(routes!(kinds::list_kinds))
        .routes(routes!(nodes::list::list_nodes))
        .routes(routes!(nodes::get::get_node, nodes::set::set_node, nodes::delete::delete_node))
        .routes(routes!(nodes::cordon::cordon_node))
        .routes(routes!(nodes::uncordon::uncordon_node))
        .routes(routes!(nodes::drain::drain_node, nodes::drain::cancel_drain))
        .routes(routes!(nodes::maintenance::offline_node))
        .routes(routes!(nodes::maintenance::online_node))
        .routes(routes!(placements::list::list_placements))
        .routes(routes!(placements::get::get_placement))
        .routes(routes!(placements::shown::get_shown))
        .routes(routes!(placements::case::get_case))
        .routes(routes!(balancers::list_balancers))
        .routes(routes!(balancers::shadow::get_shadow))
        .routes(routes!(balancers::log::get_balancer_log))
        .routes(routes!(events::stream_events))
        .routes(routes!(sign_in_codes::create_sign_in_code))
        .routes(routes!(user_ids::forget_user_id))
}

/// The API and its description.
pub(super) fn router() -> AppRouter {
    let (router, description) = described().split_for_parts();
    let description = Json(description);
    router.route("/api/openapi.json", get(async move || description.into_response()))
}

/// The description: what `/api/openapi.json` answers.
pub fn description() -> utoipa::openapi::OpenApi {
    described().into_openapi()
}

#[cfg(test)]
mod tests;
