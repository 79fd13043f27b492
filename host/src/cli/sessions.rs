//! `sessions`: the list, and what their owner does with them.

use clap::{ArgGroup, Args, Subcommand};
use http::Method;
use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ListArguments, client::Daemon, node_ref::NodeRef, output};
use crate::domain::{SessionId, State};

/// What is done to sessions.
#[derive(Debug, Subcommand)]
pub(super) enum SessionsCommand {
    /// Stop a session, or all of one's own, to be resumed later.
    Suspend(OneOrAll),
    /// Start a suspended session again.
    Resume {
        /// The session's id
        session: SessionId,
        /// Start a lost session although its program may still run on a node that is cut off
        #[arg(long)]
        may_run_twice: bool,
        #[command(flatten)]
        output: ListArguments,
    },
    /// Call a session otherwise.
    Rename {
        /// The session's id
        session: SessionId,
        /// Its new name
        name: String,
        #[command(flatten)]
        output: ListArguments,
    },
    /// End a session, or all of one's own.
    End(OneOrAll),
}

/// One session or all of one's own.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["session", "all"])))]
pub(super) struct OneOrAll {
    /// The session's id
    session: Option<SessionId>,
    /// All of one's own
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    output: ListArguments,
}

impl SessionsCommand {
    pub(super) fn output(&self) -> &ListArguments {
        match self {
            Self::Suspend(OneOrAll { output, .. }) | Self::End(OneOrAll { output, .. }) => output,
            Self::Resume { output, .. } | Self::Rename { output, .. } => output,
        }
    }

    /// The request that does it.
    fn request(&self) -> (Method, String, Option<Value>) {
        const ALL: &str = "/api/v1/sessions";
        match self {
            Self::Suspend(OneOrAll { session: Some(id), .. }) => (Method::POST, format!("{ALL}/{id}/suspend"), None),
            Self::Suspend(_) => (Method::POST, format!("{ALL}/suspend"), None),
            Self::End(OneOrAll { session: Some(id), .. }) => (Method::DELETE, format!("{ALL}/{id}"), None),
            Self::End(_) => (Method::POST, format!("{ALL}/end"), None),
            Self::Resume { session, may_run_twice, .. } => {
                let confirmed = may_run_twice.then(|| json!({ "confirm": "may-run-twice" }));
                (Method::POST, format!("{ALL}/{session}/resume"), confirmed)
            }
            Self::Rename { session, name, .. } => {
                (Method::PATCH, format!("{ALL}/{session}"), Some(json!({ "name": name })))
            }
        }
    }
}

/// Does something to sessions and says how they then are.
pub(super) async fn change(daemon: &Daemon, command: &SessionsCommand) -> anyhow::Result<()> {
    let (method, target, body) = command.request();
    let answer: Value = serde_json::from_slice(&daemon.send(method, &target, body.as_ref()).await?)?;
    if command.output().json {
        output::line(answer);
        return Ok(());
    }
    let sessions = match answer.get("items") {
        Some(items) => serde_json::from_value(items.clone())?,
        None => vec![serde_json::from_value::<Session>(answer)?],
    };
    if sessions.is_empty() {
        output::line("there is none to do this with");
    }
    for session in sessions {
        let condition = match session.wanted.as_deref() {
            Some("suspended") => "is being suspended".to_owned(),
            Some(_) => "is being ended".to_owned(),
            None => format!("is {}", session.state),
        };
        output::line(format_args!("session {} ({}) {condition}", session.id, session.name));
    }
    Ok(())
}

#[derive(Deserialize)]
struct Session {
    id: SessionId,
    user: String,
    kind: String,
    name: String,
    state: State,
    wanted: Option<String>,
    node: NodeRef,
    pid: Option<u32>,
    created: Timestamp,
    last_activity: Option<Timestamp>,
}

/// Prints the sessions of a user, of all for `*`, else one's own; newest first.
pub(super) async fn list(daemon: &Daemon, user: Option<&str>, as_json: bool) -> anyhow::Result<()> {
    let target = match user {
        Some(user) => format!("/api/v1/sessions?user={}", utf8_percent_encode(user, NON_ALPHANUMERIC)),
        None => "/api/v1/sessions".to_owned(),
    };
    if as_json {
        output::line(json!({ "sessions": daemon.list::<Value>(&target).await? }));
        return Ok(());
    }
    let sessions: Vec<Session> = daemon.list(&target).await?;
    let time = |time: Timestamp| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
    let rows: Vec<_> = sessions
        .into_iter()
        .map(|session| {
            [
                session.id.to_string(),
                session.user,
                session.kind,
                session.state.to_string(),
                session.node.title(),
                session.pid.map(|pid| pid.to_string()).unwrap_or_default(),
                time(session.created),
                session.last_activity.map(time).unwrap_or_default(),
                session.name,
            ]
        })
        .collect();
    output::line(output::columns(
        ["ID", "User", "Kind", "State", "Node", "PID", "Created", "Last Used", "Name"],
        &rows,
    ));
    Ok(())
}
