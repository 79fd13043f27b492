//! Pages for people. They work without a script and are kept up to date by one where there is one.

use askama::Template;
use axum::{
    extract::FromRequestParts,
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};

use super::{App, AppRouter, Identity, Problem, assets, identity::Viewer};

mod balancers;
mod change;
mod create;
mod everybody;
mod home;
mod join;
mod log;
mod next;
mod sign_in;
mod sign_out;

pub(super) use next::sign_in_target;

pub(super) fn router() -> AppRouter {
    AppRouter::new()
        .route("/", get(home::show))
        .route("/everybody", get(everybody::show))
        .route("/sessions", post(create::create))
        .route("/sessions/{id}/join", get(join::show))
        .route("/sessions/{id}/log", get(log::show))
        .route("/sessions/{id}/suspend", post(change::suspend))
        .route("/sessions/{id}/resume", post(change::resume))
        .route("/sessions/{id}/end", post(change::end))
        .route("/sessions/{id}/rename", post(change::rename))
        .route("/sessions/suspend", post(change::suspend_all))
        .route("/sessions/end", post(change::end_all))
        .route("/sign-in", get(sign_in::show).post(sign_in::submit))
        .route("/sign-out", post(sign_out::sign_out))
}

/// What every page has around it.
struct Frame {
    version: &'static str,
    /// Who is signed in.
    user: Option<String>,
    /// Seconds until the page asks anew, where there is no script that does better.
    refresh: Option<u32>,
}

impl Frame {
    fn new(identity: Option<&Identity>) -> Self {
        Self { version: assets::VERSION, user: identity.map(|identity| identity.user.clone()), refresh: None }
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    frame: Frame,
    title: &'a str,
    detail: &'a str,
}

/// Why a page cannot be shown.
#[derive(Debug)]
struct Refusal(Problem);

impl<P: Into<Problem>> From<P> for Refusal {
    fn from(problem: P) -> Self {
        Self(problem.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(problem) = self;
        let page = ProblemPage { frame: Frame::new(None), title: problem.title(), detail: problem.detail() };
        let mut response = render(&page);
        problem.mark(&mut response);
        response
    }
}

/// A refusal as a page for people and as a problem document for programs.
pub(super) fn refuse(headers: &HeaderMap, problem: Problem) -> Response {
    if wants_html(headers) { Refusal(problem).into_response() } else { problem.into_response() }
}

/// Whether a person's browser asks, rather than a program.
pub(super) fn wants_html(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| {
        accept.split(',').any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == "text/html"))
    })
}

fn render(page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            (StatusCode::INTERNAL_SERVER_ERROR, "the page could not be made\n").into_response()
        }
    }
}

/// Whoever is signed in; everybody else is sent to sign in, and back if they asked for a page.
struct Visitor(Identity);

impl FromRequestParts<App> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Response> {
        match parts.extensions.get::<Identity>() {
            Some(identity) => Ok(Self(identity.clone())),
            None => Err(Redirect::to(&sign_in_target(&parts.method, &parts.uri)).into_response()),
        }
    }
}

/// Whoever is signed in, as a [`Viewer`]; everybody else is sent to sign in.
struct Overseer(Viewer);

impl FromRequestParts<App> for Overseer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        Visitor::from_request_parts(parts, app).await?;
        Viewer::from_request_parts(parts, app).await.map(Self).map_err(IntoResponse::into_response)
    }
}

/// 303 without the body that would repeat the address.
fn go_to(path: &str) -> Response {
    match HeaderValue::try_from(path) {
        Ok(location) => (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

#[cfg(test)]
mod tests;
