//! `config check`: everything that the daemon would read, what is wrong with it, and what comes of it.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Failure, ServeArguments, expiry, output, passwords, plugin, registry, system};
use crate::{
    config::{self, Config, Database, Problem, Setting, Severity},
    domain::Clock as _,
    launcher::{Kinds, local},
    wire::tls::{Identity, TlsError},
};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Read everything that the daemon would, and tell what is wrong with it and what comes of it.
    Check(CheckArguments),
}

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    serve: ServeArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs it. Every problem is told at once; errors make the status that of the daemon's own refusal.
pub(super) fn run(command: ConfigCommand) -> Result<(), Failure> {
    let ConfigCommand::Check(CheckArguments { serve, json }) = command;
    let (config, problems, settings) = config::examine(&serve.flags(), &system::surroundings());
    let mut found: Vec<Found> = problems.iter().map(Found::of).collect();
    let kinds = match &config {
        Some(config) => {
            found.extend(plugin::selected(config).into_iter().map(|(severity, text)| Found { severity, text }));
            let identity = config.tls.as_ref().map(Identity::load).transpose();
            found.extend(certificate(config, identity));
            found.extend(needs(config).into_iter().map(|text| Found { severity: Severity::Error, text }));
            kinds(config, &mut found)
        }
        None => Vec::new(),
    };
    if json {
        output::line(document(&settings, &kinds, &found));
    } else {
        print(&settings, &kinds, &found);
    }
    let is_wrong = found.iter().any(|found| found.severity == Severity::Error);
    if is_wrong { Err(Failure::Configuration) } else { Ok(()) }
}

/// Something that is wrong.
struct Found {
    severity: Severity,
    text: String,
}

impl Found {
    fn of(problem: &Problem) -> Self {
        Self { severity: problem.severity, text: problem.to_string() }
    }
}

/// What is to be said of the certificate.
fn certificate(config: &Config, identity: Result<Option<Identity>, TlsError>) -> Option<Found> {
    match identity {
        Err(error) => Some(Found { severity: Severity::Error, text: error.to_string() }),
        Ok(identity) => {
            let caution = expiry::caution(identity?.expires, system::SystemClock.now())?;
            let text = format!("{}: {caution}", config.tls.as_ref()?.certificate.display());
            Some(Found { severity: Severity::Warning, text })
        }
    }
}

/// What else would end the daemon's start, without asking anybody on the network.
fn needs(config: &Config) -> Vec<String> {
    let key = config.key_places.find();
    // A password is decrypted with the key, and would be told of a second time.
    let access = match (&key, &config.database) {
        (Ok(_), Database::Postgres(options)) => registry::access(config, options).err(),
        _ => None,
    };
    [
        passwords::check(&config.sign_in).err().map(anyhow::Error::new),
        local::check_length(&config.runtime_dir).err().map(anyhow::Error::new),
        key.err().map(anyhow::Error::new),
        access,
    ]
    .into_iter()
    .flatten()
    .map(|error| format!("{error:#}"))
    .collect()
}

/// A kind, and where its program is.
struct Offer {
    name: String,
    program: Option<String>,
}

fn kinds(config: &Config, found: &mut Vec<Found>) -> Vec<Offer> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let kinds = match Kinds::load_changed(config.kinds_dir.as_deref(), &config.kinds_changed, &path) {
        Ok(kinds) => kinds,
        Err(errors) => {
            found.extend(errors.0.iter().map(|error| Found { severity: Severity::Error, text: error.to_string() }));
            return Vec::new();
        }
    };
    let offer = |kind: &std::sync::Arc<crate::launcher::Kind>| Offer {
        name: kind.name.clone(),
        program: match kinds.program(kind) {
            Some(path) => Some(path.display().to_string()),
            None => kind.is_job().then(|| "what each job names".to_owned()),
        },
    };
    kinds.all().iter().map(offer).collect()
}

fn print(settings: &[Setting], kinds: &[Offer], found: &[Found]) {
    let rows: Vec<_> = settings
        .iter()
        .map(|setting| {
            let section = setting.section.as_ref().map(|section| format!("[{section}] ")).unwrap_or_default();
            [
                setting.file.clone(),
                format!("{section}{}", setting.name),
                setting.value.clone().unwrap_or_else(|| "-".to_owned()),
                setting.origin.to_string(),
            ]
        })
        .collect();
    output::line(output::columns(["File", "Setting", "Value", "From"], &rows));
    let rows: Vec<_> = kinds
        .iter()
        .map(|kind| {
            [kind.name.clone(), kind.program.clone().unwrap_or_else(|| "not found here: not offered".to_owned())]
        })
        .collect();
    if !rows.is_empty() {
        output::line("");
        output::line(output::columns(["Kind", "Program"], &rows));
    }
    for one in found {
        match one.severity {
            Severity::Error => eprintln!("evenkeel: {}", one.text),
            Severity::Warning => eprintln!("evenkeel: warning: {}", one.text),
        }
    }
}

fn document(settings: &[Setting], kinds: &[Offer], found: &[Found]) -> serde_json::Value {
    let setting = |setting: &Setting| {
        json!({
            "file": setting.file, "section": setting.section, "name": setting.name, "value": setting.value,
            "origin": setting.origin.to_string(),
        })
    };
    let texts = |severity| found.iter().filter(|one| one.severity == severity).map(|one| &one.text).collect::<Vec<_>>();
    json!({
        "settings": settings.iter().map(setting).collect::<Vec<_>>(),
        "kinds": kinds.iter().map(|kind| json!({ "name": kind.name, "program": kind.program })).collect::<Vec<_>>(),
        "errors": texts(Severity::Error),
        "warnings": texts(Severity::Warning),
    })
}
