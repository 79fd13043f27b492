//! `sessions`: the list, and what their owner does with them.

use std::str::FromStr;

use anyhow::{Context as _, ensure};
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
    /// Stop a session, or several, to be resumed later.
    Suspend(Which),
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
    /// End a session, or several.
    End(Which),
}

/// One session or several. Administrators also name those of others.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["session", "all"])))]
pub(super) struct Which {
    /// The session's id, or its process on this node
    session: Option<Named>,
    /// All of one's own
    #[arg(long)]
    all: bool,
    /// With --all: those of this user that are starting or active, `*` for everybody's
    #[arg(long, value_name = "NAME", requires = "all")]
    user: Option<String>,
    /// With --user: only those of this node
    #[arg(long, requires = "user")]
    here: bool,
    #[command(flatten)]
    output: ListArguments,
}

/// How a session is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Id(SessionId),
    Process(u32),
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // An id has more characters than any process has digits.
        let id = || text.parse().map(Self::Id).map_err(|error| format!("{error}, and no process id"));
        text.parse().map(Self::Process).ok().filter(|_| text.len() < 8).map_or_else(id, Ok)
    }
}

impl SessionsCommand {
    pub(super) fn output(&self) -> &ListArguments {
        match self {
            Self::Suspend(Which { output, .. }) | Self::End(Which { output, .. }) => output,
            Self::Resume { output, .. } | Self::Rename { output, .. } => output,
        }
    }
}

const SESSIONS: &str = "/api/v1/sessions";

/// Does something to sessions and says how they then are.
pub(super) async fn change(daemon: &Daemon, command: &SessionsCommand) -> anyhow::Result<()> {
    let is_json = command.output().json;
    match command {
        SessionsCommand::Suspend(which) => stop(daemon, which, true).await,
        SessionsCommand::End(which) => stop(daemon, which, false).await,
        SessionsCommand::Resume { session, may_run_twice, .. } => {
            let confirmed = may_run_twice.then(|| json!({ "confirm": "may-run-twice" }));
            let target = format!("{SESSIONS}/{session}/resume");
            print(ask(daemon, Method::POST, &target, confirmed.as_ref()).await?, is_json)
        }
        SessionsCommand::Rename { session, name, .. } => {
            let name = json!({ "name": name });
            print(ask(daemon, Method::PATCH, &format!("{SESSIONS}/{session}"), Some(&name)).await?, is_json)
        }
    }
}

async fn stop(daemon: &Daemon, which: &Which, suspend: bool) -> anyhow::Result<()> {
    let is_json = which.output.json;
    let one = async |id: SessionId| match suspend {
        true => ask(daemon, Method::POST, &format!("{SESSIONS}/{id}/suspend"), None).await,
        false => ask(daemon, Method::DELETE, &format!("{SESSIONS}/{id}"), None).await,
    };
    if let Some(named) = which.session {
        let id = match named {
            Named::Id(id) => id,
            Named::Process(process) => of_process(daemon, process).await?,
        };
        return print(one(id).await?, is_json);
    }
    let Some(user) = &which.user else {
        let action = if suspend { "suspend" } else { "end" };
        return print(ask(daemon, Method::POST, &format!("{SESSIONS}/{action}"), None).await?, is_json);
    };
    let here = if which.here { Some(daemon.own_node()?.0) } else { None };
    let mut sessions = live(daemon, user).await?;
    sessions.retain(|session| here.is_none_or(|node| session.node.id() == node));
    let (mut done, mut refused) = (Vec::new(), 0);
    for session in sessions {
        match one(session.id).await {
            Ok(answer) => done.push(answer),
            Err(error) => {
                refused += 1;
                output::warning(format_args!("session {} of {}: {error:#}", session.id, session.user));
            }
        }
    }
    print(json!({ "items": done }), is_json)?;
    ensure!(refused == 0, "{refused} of them could not be {}", if suspend { "suspended" } else { "ended" });
    Ok(())
}

/// The sessions that are starting or active, of a user or of all.
async fn live(daemon: &Daemon, user: &str) -> anyhow::Result<Vec<Session>> {
    let mut sessions: Vec<Session> = daemon.list(&of_user(user)).await?;
    sessions.retain(|session| session.state.is_live());
    Ok(sessions)
}

/// The session whose process of this node that is.
async fn of_process(daemon: &Daemon, process: u32) -> anyhow::Result<SessionId> {
    let here = daemon.own_node()?.0;
    let sessions = live(daemon, "*").await?;
    let found = sessions.iter().find(|session| session.node.id() == here && session.pid == Some(process));
    found.map(|session| session.id).with_context(|| format!("process {process} is no session's of this node"))
}

fn of_user(user: &str) -> String {
    format!("{SESSIONS}?user={}", utf8_percent_encode(user, NON_ALPHANUMERIC))
}

async fn ask(daemon: &Daemon, method: Method, target: &str, body: Option<&Value>) -> anyhow::Result<Value> {
    Ok(serde_json::from_slice(&daemon.send(method, target, body).await?)?)
}

/// Says how sessions are, of one or of a list.
fn print(answer: Value, as_json: bool) -> anyhow::Result<()> {
    if as_json {
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
    let target = user.map_or_else(|| SESSIONS.to_owned(), of_user);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_named_by_its_id_or_by_its_process() {
        assert_eq!("12345".parse(), Ok(Named::Process(12345)));
        assert_eq!("4194304".parse(), Ok(Named::Process(4_194_304)));
        assert_eq!("7k3n9v2q".parse(), Ok(Named::Id("7k3n9v2q".parse().unwrap())));
        assert_eq!("01234567".parse(), Ok(Named::Id("01234567".parse().unwrap())));
        let refused = "lab".parse::<Named>().unwrap_err();
        assert!(refused.ends_with(", and no process id"), "{refused}");
    }
}
