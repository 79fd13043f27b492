//! Identity at the door: found once for each request, asked for by handlers.

use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderValue, Method, header, request::Parts};
use std::{convert::Infallible, sync::Arc};

use super::{Identity, Means, SignIns};
use crate::web::{Problem, pages};

/// Finds out who asks, and refuses changes that a page of another site sends with the cookie of its visitor.
pub(crate) async fn identify_and_guard(
    State(sign_ins): State<Arc<SignIns>>,
    mut request: Request,
    next: Next,
) -> Response {
    let identity = sign_ins.identify(request.headers());
    if let Some(Identity { means: Means::Cookie(_), .. }) = &identity
        && !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS)
        && !sign_ins.is_same_origin(request.headers())
    {
        return pages::refuse(request.headers(), Problem::cross_origin());
    }
    let (identity, renewal) = sign_ins.renewed(identity).await;
    if let Some(identity) = identity {
        request.extensions_mut().insert(identity);
    }
    let mut response = next.run(request).await;
    if let Some(cookie) = renewal {
        renew(response.headers_mut(), cookie);
    }
    response
}

/// Adds the prolonged cookie to an answer, unless the answer sets one itself or may be kept by a shared cache.
pub(crate) fn renew(headers: &mut HeaderMap, cookie: HeaderValue) {
    let is_shared = headers.get(header::CACHE_CONTROL).is_some_and(|value| {
        value.to_str().map_or(true, |value| value.contains("public") || value.contains("s-maxage"))
    });
    let sets_ours = headers.get_all(header::SET_COOKIE).iter().any(|value| {
        value.as_bytes().strip_prefix(super::COOKIE.as_bytes()).is_some_and(|rest| rest.starts_with(b"="))
    });
    if !is_shared && !sets_ours {
        headers.append(header::SET_COOKIE, cookie);
    }
}

/// Whoever is signed in; everybody else is refused with a problem document.
#[derive(Clone, Debug)]
pub struct SignedIn(pub Identity);

impl<S: Sync> FromRequestParts<S> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Identity>().cloned().map(Self).ok_or_else(Problem::sign_in)
    }
}

/// Whoever is signed in, if anybody is.
#[derive(Clone, Debug)]
pub(crate) struct MaybeSignedIn(pub(crate) Option<Identity>);

impl<S: Sync> FromRequestParts<S> for MaybeSignedIn {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get::<Identity>().cloned()))
    }
}

/// An administrator; everybody else is refused.
#[derive(Clone, Debug)]
pub struct Administrator(pub Identity);

impl<S: Sync> FromRequestParts<S> for Administrator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let SignedIn(identity) = <SignedIn as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        if identity.is_administrator() {
            Ok(Self(identity))
        } else {
            Err(Problem::forbidden(
                "nodes are changed by an administrator: send the token of the node's data directory",
            ))
        }
    }
}
