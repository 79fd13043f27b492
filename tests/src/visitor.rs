//! A person's browser without a script: it keeps our cookie, sends forms as pages do, and goes to any node.

use anyhow::{Context as _, Result, ensure};
use hyper::{Request, StatusCode, header};

use crate::{
    Client, Session,
    accounts::UnixUser,
    client::{Reply, Socket, whole},
    wait,
};

/// Somebody at a browser.
#[derive(Clone, Debug)]
pub struct Visitor {
    client: Client,
    /// Our cookie, as it is sent back; empty where there is none.
    pub cookie: String,
}

impl Visitor {
    /// At the node at `host:port`, or at `https://host:port`, not signed in.
    pub fn at(place: &str) -> Self {
        Self { client: Client::anonymous(place), cookie: String::new() }
    }

    /// The same person at another node.
    #[must_use]
    pub fn moved_to(&self, place: &str) -> Self {
        Self { client: Client::anonymous(place), cookie: self.cookie.clone() }
    }

    /// What a page's script may do with the cookie.
    pub fn client(&self) -> Client {
        self.client.clone().with_cookie(&self.cookie)
    }

    /// Opens a page.
    pub async fn visit(&self, path: &str) -> Result<Reply> {
        self.client.get_with(path, &[("accept", "text/html"), ("cookie", &self.cookie)]).await
    }

    /// Opens a page and keeps the cookie that it sets.
    pub async fn follow(&mut self, path: &str) -> Result<Reply> {
        let reply = self.visit(path).await?;
        self.keep(&reply)?;
        Ok(reply)
    }

    /// Asks the REST interface with the cookie.
    pub async fn get(&self, path: &str) -> Result<Reply> {
        self.client.get_with(path, &[("cookie", &self.cookie)]).await
    }

    /// Sends a form as a page of the node does, and keeps the cookie that comes back.
    pub async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Result<Reply> {
        let form: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let request = Request::post(path)
            .header(header::ACCEPT, "text/html")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ORIGIN, self.client.origin())
            .header(header::COOKIE, &self.cookie);
        let reply = self.client.ask(request.body(whole(form.join("&")))?).await?;
        self.keep(&reply)?;
        Ok(reply)
    }

    fn keep(&mut self, reply: &Reply) -> Result<()> {
        if let Some(cookie) = reply.headers.get(header::SET_COOKIE) {
            self.cookie = cookie.to_str()?.split(';').next().unwrap_or_default().to_owned();
        }
        Ok(())
    }

    /// Sends the sign-in form.
    pub async fn give_password(&mut self, user: &str, password: &str) -> Result<Reply> {
        self.submit("/sign-in", &[("user", user), ("password", password)]).await
    }

    /// Signs in at the node there.
    pub async fn signed_in(place: &str, user: &UnixUser) -> Result<Self> {
        let mut visitor = Self::at(place);
        let reply = visitor.give_password(&user.name, &user.password).await?;
        ensure!(reply.status == StatusCode::SEE_OTHER, "{}: {}", reply.status, reply.text());
        Ok(visitor)
    }

    /// Starts a session of that kind, and waits until its program answers.
    pub async fn launch_active(&self, kind: &str) -> Result<Session> {
        let request = Request::post("/api/v1/sessions")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ORIGIN, self.client.origin())
            .header(header::COOKIE, &self.cookie);
        let body = format!("{{\"kind\": \"{kind}\"}}");
        let session: Session = self.client.ask(request.body(whole(body))?).await?.success()?.json()?;
        let path = format!("/api/v1/sessions/{}", session.id);
        wait::until(&format!("session {} to be active", session.id), wait::LONG, async || {
            let session: Session = self.get(&path).await?.success()?.json()?;
            ensure!(session.state == "active", "it is {}: {}", session.state, session.failure.unwrap_or_default());
            Ok(session)
        })
        .await
    }

    /// Ends a session, and waits until it has ended.
    pub async fn end(&self, id: &str) -> Result<()> {
        let reply = self.clone().submit(&format!("/sessions/{id}/end"), &[]).await?;
        ensure!(reply.status == StatusCode::SEE_OTHER, "{}: {}", reply.status, reply.text());
        let path = format!("/api/v1/sessions/{id}");
        wait::until(&format!("session {id} to end"), wait::LONG, async || {
            let session: Session = self.get(&path).await?.success()?.json()?;
            ensure!(session.state == "ended", "it is {}", session.state);
            Ok(())
        })
        .await
    }

    /// Opens a web socket as a page of the node does; the status where it is refused.
    pub async fn socket(&self, path: &str) -> Result<Result<Socket, StatusCode>> {
        let origin = self.client.origin();
        self.client.upgrade(path, &[("origin", &origin), ("cookie", &self.cookie)]).await.context("a web socket")
    }
}

fn encoded(value: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric();
    value.bytes().map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
