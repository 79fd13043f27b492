//! `GET /sign-in`: how to sign in, and with a one-time code the sign-in itself.

use std::{net::IpAddr, sync::Arc};

use askama::Template;
use axum::{
    Extension,
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;

use super::{Frame, Refusal, go_to, next::same_site_path, render};
use crate::{
    store::Store,
    web::{
        Client, SignIns,
        identity::{MaybeSignedIn, Redemption},
    },
};

#[derive(Deserialize)]
pub(super) struct Parameters {
    code: Option<String>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    frame: Frame,
    notice: Option<&'static str>,
}

pub(super) async fn show(
    State(sign_ins): State<Arc<SignIns>>,
    State(store): State<Arc<dyn Store>>,
    MaybeSignedIn(identity): MaybeSignedIn,
    client: Option<Extension<Client>>,
    Query(parameters): Query<Parameters>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let next = parameters.next.as_deref().and_then(same_site_path).unwrap_or("/");
    let Some(code) = parameters.code else {
        return Ok(if identity.is_some() { go_to(next) } else { page(StatusCode::OK, None) });
    };
    // A browser that looks ahead, or a program that only looks, must not use the link up.
    if method != Method::GET || is_prefetch(&headers) {
        return Ok(page(StatusCode::SERVICE_UNAVAILABLE, None));
    }
    // New sign-ins wait for the registry; the link stays good.
    store.now().await?;
    let ip: Option<IpAddr> = client.map(|Extension(Client(address))| address.ip());
    Ok(match sign_ins.redeem(&code, ip) {
        Redemption::Accepted(user) => {
            tracing::info!(user, ?ip, "signed in by a link");
            let mut response = go_to(next);
            response.headers_mut().insert(header::SET_COOKIE, sign_ins.sign_in(&user));
            response
        }
        // Whoever is signed in and opens a used link once more means to come in.
        Redemption::Refused if identity.is_some() => go_to(next),
        Redemption::Refused => page(
            StatusCode::FORBIDDEN,
            Some("This link was used before, is too old, or was not copied whole. Ask for a new one."),
        ),
        Redemption::Throttled => {
            let mut response = page(
                StatusCode::TOO_MANY_REQUESTS,
                Some("Too many wrong links came from your address. Wait a minute."),
            );
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
            response
        }
    })
}

fn is_prefetch(headers: &HeaderMap) -> bool {
    ["sec-purpose", "purpose"].iter().any(|name| {
        headers.get(*name).and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains("prefetch"))
    })
}

fn page(status: StatusCode, notice: Option<&'static str>) -> Response {
    (status, render(&SignInPage { frame: Frame::new(None), notice })).into_response()
}
