//! `POST /api/v1/sessions`.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State, response::IntoResponse};
use http::{StatusCode, header};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Desk, SessionView};
use crate::{
    domain::{Job, JobProblem, JobProgram},
    sessions::NewSession,
    web::{
        Problem,
        body::{Fields, text},
        identity::SignedIn,
    },
};

/// What is asked for.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
struct SessionRequest {
    /// What to run; `GET /api/v1/nodes` says what each node offers.
    #[schema(example = "jupyterlab")]
    kind: String,
    /// What to call it; the kind's title where absent.
    name: Option<String>,
    /// The resource profile that it is to have, instead of `cpus` and `memory`.
    #[schema(example = "small")]
    profile: Option<String>,
    /// Processors that it is to be promised; the usual ones where absent.
    cpus: Option<f64>,
    /// Memory that it is to be promised, bytes; the usual one where absent.
    memory: Option<u64>,
    /// Labels that its node must have.
    labels: Option<BTreeMap<String, String>>,
    /// Of a job: the program and its arguments, each as it is, without a shell. Either this or a script.
    #[schema(example = json!(["make", "all"]))]
    command: Option<Vec<String>>,
    /// Of a job: the text of a script, whose first line names its interpreter; at most 256 KiB.
    #[schema(example = "#!/bin/sh\nmake all\n")]
    script: Option<String>,
    /// Of a job: the script's arguments.
    arguments: Option<Vec<String>>,
    /// Of a job: environment variables.
    environment: Option<BTreeMap<String, String>>,
    /// Of a job: the directory it starts in, an absolute path; its user's home where absent.
    directory: Option<String>,
}

/// The longest name of a session.
pub(in crate::web) const LONGEST_NAME: usize = 100;

/// Start a session. It is answered as `starting`; `GET` it until it is `active`, or follow the events.
#[utoipa::path(
    post, path = "/api/v1/sessions", tag = "sessions", request_body = SessionRequest,
    responses((status = 201, body = SessionView), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn create_session(
    SignedIn(identity): SignedIn,
    State(desk): State<Desk>,
    fields: Fields,
) -> Result<impl IntoResponse, Problem> {
    let new = NewSession { user: identity.user, ..read(fields)? };
    let view = desk.view(desk.sessions.start(new).await?).await?;
    let location = format!("/api/v1/sessions/{}", view.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(view)))
}

fn read(mut fields: Fields) -> Result<NewSession, Problem> {
    let job = job(&mut fields);
    let new = NewSession {
        user: String::new(),
        kind: fields.require("kind", |value| text(value, 64)),
        name: fields.take("name", |value| text(value, LONGEST_NAME)),
        profile: fields.take("profile", |value| text(value, 64)),
        cpus: fields.take("cpus", |value| cpus(&value)).unwrap_or_default(),
        memory: fields.take("memory", |value| memory(&value)).unwrap_or_default(),
        labels: fields.take("labels", labels).unwrap_or_default(),
        job,
    };
    fields.finish().map(|()| new)
}

/// A job, where any of it is named.
fn job(fields: &mut Fields) -> Option<Arc<Job>> {
    let command = fields.take("command", strings);
    let script = fields.take("script", string);
    let arguments = fields.take("arguments", strings);
    let environment = fields.take("environment", variables);
    let directory = fields.take("directory", string);
    let (program, arguments) = match (command, script) {
        (Some(_), Some(_)) => {
            fields.wrong("script", "there can be a command or a script, not both".to_owned());
            return None;
        }
        (Some(command), None) => {
            if arguments.is_some() {
                fields.wrong("arguments", "belong to a script; a command has its own behind its program".to_owned());
            }
            let mut words = command.into_iter();
            (JobProgram::Command(words.next().unwrap_or_default()), words.collect())
        }
        (None, Some(script)) => (JobProgram::Script(script), arguments.unwrap_or_default()),
        (None, None) => {
            let parts = [
                ("arguments", arguments.is_some()),
                ("environment", environment.is_some()),
                ("directory", directory.is_some()),
            ];
            for (name, _) in parts.into_iter().filter(|(_, given)| *given) {
                fields.wrong(name, "belongs to a job: name its command or its script".to_owned());
            }
            return None;
        }
    };
    let job = Job { program, arguments, environment: environment.unwrap_or_default(), directory };
    let problems = job.problems();
    if problems.is_empty() {
        return Some(Arc::new(job));
    }
    for JobProblem { part, problem } in problems {
        fields.wrong(part, problem);
    }
    None
}

fn string(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err("must be a string".to_owned()),
    }
}

fn strings(value: Value) -> Result<Vec<String>, String> {
    let wrong = || "must be a list of strings".to_owned();
    let Value::Array(items) = value else { return Err(wrong()) };
    items.into_iter().map(|item| string(item).map_err(|_| wrong())).collect()
}

fn variables(value: Value) -> Result<BTreeMap<String, String>, String> {
    let wrong = || "must be an object of strings".to_owned();
    let Value::Object(object) = value else { return Err(wrong()) };
    object.into_iter().map(|(name, value)| Ok((name, string(value).map_err(|_| wrong())?))).collect()
}

/// Processors as they are asked for.
pub(in crate::web) fn cpus(value: &Value) -> Result<f64, String> {
    const MOST: f64 = 65_536.0;
    let within = |cpus: &f64| (0.0..=MOST).contains(cpus);
    value.as_f64().filter(within).ok_or_else(|| format!("must be a number from 0 to {MOST}"))
}

/// Memory as it is asked for.
pub(in crate::web) fn memory(value: &Value) -> Result<u64, String> {
    // What the databases' integers hold.
    let within = |bytes: &u64| i64::try_from(*bytes).is_ok();
    value.as_u64().filter(within).ok_or_else(|| "must be a whole number of bytes, not negative".to_owned())
}

fn labels(value: Value) -> Result<BTreeMap<String, String>, String> {
    const MOST: usize = 16;
    const LONGEST: usize = 64;
    let Value::Object(object) = value else { return Err("must be an object of strings".to_owned()) };
    if object.len() > MOST {
        return Err(format!("must be at most {MOST} labels"));
    }
    let label = |(key, value): (String, Value)| {
        let key = text(Value::String(key), LONGEST).map_err(|problem| format!("a key {problem}"))?;
        let value = text(value, LONGEST).map_err(|problem| format!("{key} {problem}"))?;
        Ok((key, value))
    };
    object.into_iter().map(label).collect()
}
