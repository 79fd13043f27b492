//! `GET /sign-in`: how to sign in, and with a one-time code the sign-in itself. `POST /sign-in`: the form with user name and
//! password.

use std::{net::IpAddr, sync::Arc, time::Duration};

use askama::Template;
use axum::{
    Extension,
    extract::{FromRef, Query, RawForm, State, rejection::RawFormRejection},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;

use super::{Frame, Refusal, go_to, next::same_site_path, render};
use crate::{
    pam::LONGEST_USER,
    store::{Store, StoreError},
    web::{
        App, Client, Problem, RETRY_AFTER, SignIns,
        identity::{Declined, MaybeSignedIn, Passwords, Redemption},
    },
};

mod form;

use form::Filled;

/// How long the registry may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(5);

/// What this page asks for.
#[derive(Clone)]
pub(super) struct Reception {
    sign_ins: Arc<SignIns>,
    passwords: Arc<Passwords>,
    store: Arc<dyn Store>,
}

impl FromRef<App> for Reception {
    fn from_ref(app: &App) -> Self {
        Self { sign_ins: app.sign_ins.clone(), passwords: app.passwords.clone(), store: app.store.clone() }
    }
}

#[derive(Deserialize)]
pub(super) struct Parameters {
    code: Option<String>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    frame: Frame,
    /// What was wrong.
    notice: Option<&'a str>,
    /// The form, where passwords are taken.
    form: Option<Form<'a>>,
}

struct Form<'a> {
    user: &'a str,
    /// Where to go then.
    next: Option<&'a str>,
    /// The only user that can sign in.
    only: Option<&'a str>,
    longest_user: usize,
}

impl<'a> SignInPage<'a> {
    fn new(passwords: &'a Passwords, next: &'a str) -> Self {
        let form = || Form {
            user: "",
            next: Some(next).filter(|next| *next != "/"),
            only: passwords.only(),
            longest_user: LONGEST_USER,
        };
        Self { frame: Frame::new(None), notice: None, form: passwords.is_on().then(form) }
    }

    /// After an attempt: what was wrong, and the name that was given.
    fn after(mut self, user: &'a str, notice: &'a str) -> Self {
        self.notice = Some(notice);
        if let Some(form) = &mut self.form {
            form.user = user;
        }
        self
    }

    fn answer(&self, status: StatusCode, retry_after: Option<Duration>) -> Response {
        let mut response = (status, render(self)).into_response();
        if let Some(wait) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        response
    }
}

pub(super) async fn show(
    State(Reception { sign_ins, passwords, store }): State<Reception>,
    MaybeSignedIn(identity): MaybeSignedIn,
    client: Option<Extension<Client>>,
    Query(parameters): Query<Parameters>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let next = parameters.next.as_deref().and_then(same_site_path).unwrap_or("/");
    let page = SignInPage::new(&passwords, next);
    let Some(code) = parameters.code else {
        return Ok(if identity.is_some() { go_to(next) } else { page.answer(StatusCode::OK, None) });
    };
    // A browser that looks ahead, or a program that only looks, must not use the link up.
    if method != Method::GET || is_prefetch(&headers) {
        return Ok(page.answer(StatusCode::SERVICE_UNAVAILABLE, None));
    }
    // The link stays good.
    answers(&*store).await?;
    let ip = ip(client);
    Ok(match sign_ins.redeem(&code, ip) {
        Redemption::Accepted(user) => {
            tracing::info!(user, ?ip, "signed in by a link");
            signed_in(next, sign_ins.sign_in(&user))
        }
        // Whoever is signed in and opens a used link once more means to come in.
        Redemption::Refused if identity.is_some() => go_to(next),
        Redemption::Refused => page
            .after("", "This link was used before, is too old, or was not copied whole. Ask for a new one.")
            .answer(StatusCode::FORBIDDEN, None),
        Redemption::Throttled => page
            .after("", "Too many wrong links came from your address. Wait a minute.")
            .answer(StatusCode::TOO_MANY_REQUESTS, Some(Duration::from_secs(60))),
    })
}

pub(super) async fn submit(
    State(Reception { sign_ins, passwords, store }): State<Reception>,
    client: Option<Extension<Client>>,
    headers: HeaderMap,
    body: Result<RawForm, RawFormRejection>,
) -> Result<Response, Refusal> {
    // Also where nobody is signed in yet: another site's page must not sign its visitor in as somebody else.
    if !sign_ins.is_same_origin(&headers) {
        return Err(Problem::cross_origin().into());
    }
    let RawForm(body) = body.map_err(|_| Problem::unreadable("the form was not sent whole"))?;
    let Filled { user, password, next } = Filled::read(body);
    let next = next.as_deref().and_then(same_site_path).unwrap_or("/");
    let page = SignInPage::new(&passwords, next);
    if let Err(error) = answers(&*store).await {
        let problem = Problem::from(error);
        return Ok(page.after(&user, problem.detail()).answer(problem.status(), Some(RETRY_AFTER)));
    }
    let declined = match passwords.enter(&user, password, ip(client)).await {
        Ok(account) => {
            // Whoever was signed in at this browser is so no longer.
            sign_ins.sign_out(&headers);
            sign_ins.tell(&*store).await;
            return Ok(signed_in(next, sign_ins.sign_in(&account.name)));
        }
        Err(declined) => declined,
    };
    let (status, wait, notice) = told(&declined);
    Ok(page.after(&user, &notice).answer(status, wait))
}

/// How somebody is told that they do not get in.
fn told(declined: &Declined) -> (StatusCode, Option<Duration>, String) {
    match declined {
        Declined::Wrong => (StatusCode::FORBIDDEN, None, "The user name or the password is not right.".to_owned()),
        Declined::OnlyOwn(own) => {
            let notice = format!("Only {own}, whom this server runs as, can sign in here: it does not run as root.");
            (StatusCode::FORBIDDEN, None, notice)
        }
        Declined::Closed(why) => (StatusCode::FORBIDDEN, None, format!("{why}.")),
        Declined::Throttled(wait) => {
            let notice = format!("Too many wrong passwords. Wait {} seconds.", wait.as_secs());
            (StatusCode::TOO_MANY_REQUESTS, Some(*wait), notice)
        }
        Declined::Off => {
            let notice = "Signing in by password is not set up on this server; its log says why.".to_owned();
            (StatusCode::NOT_FOUND, None, notice)
        }
        Declined::Unknown => {
            let notice =
                "Passwords cannot be checked now. Try again shortly; the server's log says what is the matter.";
            (StatusCode::SERVICE_UNAVAILABLE, Some(RETRY_AFTER), notice.to_owned())
        }
    }
}

/// New sign-ins wait for the registry: what was ended elsewhere is known from it.
async fn answers(store: &dyn Store) -> Result<(), StoreError> {
    let late = || StoreError::Database { operation: "clock", message: "no answer in time".to_owned() };
    tokio::time::timeout(PATIENCE, store.now()).await.unwrap_or_else(|_| Err(late())).map(drop)
}

fn signed_in(next: &str, cookie: HeaderValue) -> Response {
    let mut response = go_to(next);
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}

fn ip(client: Option<Extension<Client>>) -> Option<IpAddr> {
    client.map(|Extension(Client(address))| address.ip().to_canonical())
}

fn is_prefetch(headers: &HeaderMap) -> bool {
    ["sec-purpose", "purpose"].iter().any(|name| {
        headers.get(*name).and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains("prefetch"))
    })
}

#[cfg(test)]
mod tests;
