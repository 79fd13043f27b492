//! `import`: copies a legacy configuration, with a remark above each line that does not hold here as it did there.
//!
//! The source is only read, and nothing that exists is written to, so that both products can stand side by side.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use serde_json::json;

use super::{Failure, output, system};
use crate::config::{self, Flags, Severity, legacy};

mod annotate;

use annotate::{Annotated, annotate};

/// The largest file that is copied.
const LARGEST: u64 = 1 << 20;

#[derive(Debug, Args)]
pub(super) struct ImportArguments {
    /// The directory to import, such as /etc/rstudio
    source: PathBuf,
    /// Where the copies go
    #[arg(long, value_name = "DIR", default_value = "/etc/evenkeel")]
    to: PathBuf,
    /// Have the copy listen on this port, beside what listens on the other [default: the ports stay]
    #[arg(long, value_name = "PORT")]
    www_port: Option<u16>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A file that is copied.
struct Copied {
    name: &'static str,
    mode: u32,
    annotated: Annotated,
}

/// Imports.
pub(super) fn run(arguments: &ImportArguments) -> Result<(), Failure> {
    let ImportArguments { source, to, www_port, json } = arguments;
    let copied = read(source, *www_port)?;
    write(&copied, to)?;
    let flags = Flags { config_dir: Some(to.clone()), ..Flags::default() };
    let (_, problems) = config::load(&flags, &system::surroundings());
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
    let errors: Vec<_> = errors.map(ToString::to_string).collect();
    let others = others(source)?;
    let unread: Vec<_> = legacy::files::unread(source).map(|problem| problem.to_string()).collect();
    if *json {
        output::line(document(to, &copied, &others, &unread, &errors));
    } else {
        print(to, &copied, &others, &unread, &errors);
    }
    Ok(())
}

/// Reads all that is copied, before anything is written.
fn read(source: &Path, port: Option<u16>) -> anyhow::Result<Vec<Copied>> {
    // What the daemon asks its files for, whatever they say.
    let (_, _, asked) = config::examine(&Flags::default(), &system::surroundings());
    let is_own = |file: &str, name: &str| {
        legacy::find(file, name).is_none()
            && (asked.iter().any(|setting| setting.file == file && setting.name == name)
                || (file == "rserver.conf" && name.starts_with("node-label-")))
    };
    let mut copied = Vec::new();
    for (name, _) in legacy::FILES {
        let path = source.join(name);
        // Before it is opened: to open a pipe waits for who writes to it.
        let metadata = match path.metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        ensure!(metadata.is_file(), "{}: is no file", path.display());
        ensure!(metadata.len() <= LARGEST, "{}: has more than {LARGEST} bytes", path.display());
        let mut text = String::new();
        let file = fs::File::open(&path).with_context(|| path.display().to_string())?;
        file.take(LARGEST).read_to_string(&mut text).with_context(|| path.display().to_string())?;
        // A password, or what stands for one.
        let most = if name == "database.conf" { 0o600 } else { 0o644 };
        let mode = metadata.permissions().mode() & most;
        let annotated = annotate(name, &path.display().to_string(), &text, port, |setting| is_own(name, setting));
        copied.push(Copied { name, mode, annotated });
    }
    ensure!(!copied.is_empty(), "{}: there is no file of a configuration in it", source.display());
    // With the port asked for, also where nothing else is said of the server.
    if let Some(port) = port.filter(|_| copied.iter().all(|file| file.name != "rserver.conf")) {
        let annotated = annotate("rserver.conf", &source.display().to_string(), "", Some(port), |_| false);
        copied.push(Copied { name: "rserver.conf", mode: 0o644, annotated });
    }
    Ok(copied)
}

/// Writes all of them, or none where one is there already.
fn write(copied: &[Copied], to: &Path) -> anyhow::Result<()> {
    let there: Vec<_> =
        copied.iter().map(|file| to.join(file.name)).filter(|path| path.symlink_metadata().is_ok()).collect();
    if let Some(first) = there.first() {
        bail!("{}: is there already, and nothing is overwritten; name another directory with --to", first.display());
    }
    DirBuilder::new().recursive(true).mode(0o755).create(to).with_context(|| to.display().to_string())?;
    let mut written = Vec::new();
    for Copied { name, mode, annotated } in copied {
        let path = to.join(name);
        let mut write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            written.push(path.clone());
            file.write_all(annotated.text.as_bytes())?;
            file.set_permissions(fs::Permissions::from_mode(*mode | 0o600))
        };
        if let Err(error) = write() {
            // Half of it would keep the next attempt from being made.
            for path in &written {
                let _ = fs::remove_file(path);
            }
            return Err(error).with_context(|| path.display().to_string());
        }
    }
    Ok(())
}

/// What else is in the source, which is not read here.
fn others(source: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(source).with_context(|| source.display().to_string())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if legacy::FILES.iter().all(|(known, _)| *known != name) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn print(to: &Path, copied: &[Copied], others: &[String], unread: &[String], errors: &[String]) {
    let row = |Copied { name, annotated, .. }: &Copied| {
        [
            (*name).to_owned(),
            annotated.honoured.to_string(),
            annotated.answered.to_string(),
            annotated.to_do.len().to_string(),
        ]
    };
    let rows: Vec<_> = copied.iter().map(row).collect();
    output::line(output::columns(["File", "Holds", "Taken out", "To do"], &rows));
    for Copied { name, annotated, .. } in copied {
        for (line, what) in &annotated.to_do {
            output::line(format_args!("{}:{line}: {what}", to.join(name).display()));
        }
    }
    if !others.is_empty() {
        output::line(format_args!("Not read here, and not copied: {}", others.join(", ")));
    }
    for problem in unread {
        output::line(problem);
    }
    for error in errors {
        output::line(format_args!("A start would be refused: {error}"));
    }
    output::line(format_args!("`evenkeel config check --config-dir {}` tells how it stands", to.display()));
}

fn document(
    to: &Path,
    copied: &[Copied],
    others: &[String],
    unread: &[String],
    errors: &[String],
) -> serde_json::Value {
    let file = |Copied { name, annotated, .. }: &Copied| {
        let to_do = annotated.to_do.iter().map(|(line, what)| json!({ "line": line, "what": what }));
        json!({
            "name": name, "holds": annotated.honoured, "taken_out": annotated.answered,
            "to_do": to_do.collect::<Vec<_>>(),
        })
    };
    json!({
        "to": to, "files": copied.iter().map(file).collect::<Vec<_>>(), "not_copied": others, "unread": unread, "errors": errors,
    })
}
