//! The pages' style, script and icon, built into the program.

use axum::{response::IntoResponse, routing::get};
use http::header;

use super::AppRouter;

const CACHE: &str = "public, max-age=86400, immutable";

/// Tells the files of one version from those of the next, so that browsers may keep them: part of their addresses.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

macro_rules! asset {
    ($file:literal, $kind:literal) => {
        get(async || {
            (
                [(header::CONTENT_TYPE, $kind), (header::CACHE_CONTROL, CACHE)],
                include_str!(concat!("../../assets/", $file)),
            )
                .into_response()
        })
    };
}

pub(super) fn router() -> AppRouter {
    AppRouter::new()
        .route("/assets/style.css", asset!("style.css", "text/css; charset=utf-8"))
        .route("/assets/app.js", asset!("app.js", "text/javascript; charset=utf-8"))
        .route("/assets/icon.svg", asset!("icon.svg", "image/svg+xml"))
}
