//! `jupyter.conf` and `vscode.conf`: what they change of the builtin kinds.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Problem,
    file::File,
    reader::{self, Reader},
};

/// What is changed of a builtin kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KindOptions {
    /// Nobody is offered it.
    pub withheld: bool,
    /// What is run in place of its program.
    pub program: Option<PathBuf>,
    /// Arguments behind its own.
    pub arguments: Vec<String>,
}

/// By the name of the kind; what is not changed is not there.
pub type KindsChanged = BTreeMap<String, KindOptions>;

const MOST_MINUTES: u32 = 366 * 24 * 60;

/// Arguments of code-server that say where it listens, and who is let in.
const OURS: [&str; 9] =
    ["--auth", "--bind-addr", "--cert", "--cert-key", "--config", "--host", "--port", "--socket", "--socket-mode"];

/// Reads both files.
pub(super) fn read(jupyter: &File, vscode: &File, problems: &mut Vec<Problem>) -> KindsChanged {
    let mut changed = KindsChanged::new();
    read_jupyter(jupyter, &mut changed, problems);
    changed.insert("vscode".to_owned(), read_vscode(vscode, problems));
    changed.retain(|_, options| *options != KindOptions::default());
    changed
}

fn read_jupyter(file: &File, changed: &mut KindsChanged, problems: &mut Vec<Problem>) {
    let mut reader = Reader::new(file, None, problems);
    let exe = reader.take("jupyter-exe", reader::path);
    let labs = reader.take("labs-enabled", reader::switch).unwrap_or(true);
    let notebooks = reader.take("notebooks-enabled", reader::switch).unwrap_or(true);
    let mut seconds = |name, argument: &str| {
        let limit: Option<Duration> = reader.take(name, |value| {
            let minutes = reader::number(0, MOST_MINUTES)(value)?;
            Ok(Duration::from_secs(u64::from(minutes) * 60))
        });
        limit.map(|limit| format!("{argument}={}", limit.as_secs()))
    };
    let arguments: Vec<_> = [
        seconds("session-cull-minutes", "--MappingKernelManager.cull_idle_timeout"),
        seconds("session-shutdown-minutes", "--ServerApp.shutdown_no_activity_timeout"),
    ]
    .into_iter()
    .flatten()
    .collect();
    reader.finish();
    for (kind, program, offered) in
        [("jupyterlab", "jupyter-lab", labs), ("jupyter-notebook", "jupyter-notebook", notebooks)]
    {
        let options = KindOptions {
            withheld: !offered,
            // Each program of Jupyter's lies beside the one that starts them all.
            program: exe.as_deref().and_then(Path::parent).map(|directory| directory.join(program)),
            arguments: arguments.clone(),
        };
        changed.insert(kind.to_owned(), options);
    }
}

fn read_vscode(file: &File, problems: &mut Vec<Problem>) -> KindOptions {
    let mut reader = Reader::new(file, None, problems);
    let offered = reader.take("enabled", reader::switch).unwrap_or(true);
    let program = reader.take("exe", reader::path);
    let given = reader.take("args", reader::text).unwrap_or_default();
    reader.finish();
    let (ours, arguments) = parted(&given);
    if let Some(entry) = file.entries.iter().rfind(|entry| entry.name == "args")
        && !ours.is_empty()
    {
        let message = format!(
            "args: {} is left out, since the daemon says where VS Code listens and who is let in",
            ours.join(" ")
        );
        problems.push(Problem::warning(&file.path, entry.line, message));
    }
    KindOptions { withheld: !offered, program, arguments }
}

/// The arguments that are the daemon's to give, each with its value, and the others.
fn parted(given: &str) -> (Vec<&str>, Vec<String>) {
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    let mut words = given.split_whitespace().peekable();
    while let Some(word) = words.next() {
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        if !OURS.contains(&name) {
            others.push(word.to_owned());
            continue;
        }
        ours.push(word);
        if value.is_none() {
            ours.extend(words.next_if(|next| !next.starts_with('-')));
        }
    }
    (ours, others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_an_argument_that_is_left_out_goes_with_it() {
        let given = "--verbose --bind-addr 0.0.0.0:80 --port=1 --cert --disable-telemetry /srv";
        let (ours, others) = parted(given);
        assert_eq!(ours, ["--bind-addr", "0.0.0.0:80", "--port=1", "--cert"]);
        assert_eq!(others, ["--verbose", "--disable-telemetry", "/srv"]);
    }

    fn changed(jupyter: &str, vscode: &str) -> (KindsChanged, Vec<String>) {
        let mut problems = Vec::new();
        let jupyter = File::parse(Path::new("jupyter.conf"), jupyter, &mut problems);
        let vscode = File::parse(Path::new("vscode.conf"), vscode, &mut problems);
        let changed = read(&jupyter, &vscode, &mut problems);
        (changed, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn nothing_is_changed_where_nothing_is_said() {
        assert_eq!(changed("", ""), (KindsChanged::new(), Vec::new()));
        assert_eq!(changed("labs-enabled=1\nnotebooks-enabled=1\n", "enabled=1\n"), (KindsChanged::new(), Vec::new()));
    }

    #[test]
    fn jupyters_programs_lie_beside_the_one_that_is_named_and_are_told_when_to_end() {
        let (changed, problems) = changed(
            "jupyter-exe=/opt/bin/jupyter\nlabs-enabled=0\nsession-cull-minutes=2\nsession-shutdown-minutes=0\n",
            "",
        );
        assert_eq!(problems, [""; 0]);
        let (lab, notebook) = (&changed["jupyterlab"], &changed["jupyter-notebook"]);
        assert!(lab.withheld && !notebook.withheld);
        assert_eq!(notebook.program.as_deref(), Some(Path::new("/opt/bin/jupyter-notebook")));
        let arguments = ["--MappingKernelManager.cull_idle_timeout=120", "--ServerApp.shutdown_no_activity_timeout=0"];
        assert_eq!(notebook.arguments, arguments);
    }

    #[test]
    fn no_argument_says_where_vs_code_listens_or_who_is_let_in() {
        let (changed, problems) =
            changed("", "exe=/opt/code\nargs=--verbose --host=0.0.0.0 --port --extensions-dir=/x\n");
        let vscode = &changed["vscode"];
        assert_eq!(vscode.arguments, ["--verbose", "--extensions-dir=/x"]);
        assert_eq!(vscode.program.as_deref(), Some(Path::new("/opt/code")));
        let told = "vscode.conf:2: args: --host=0.0.0.0 --port is left out, since the daemon says where VS Code listens and \
                    who is let in";
        assert_eq!(problems, [told]);
    }
}
