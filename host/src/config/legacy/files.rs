//! Files of the legacy product that are not read here.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
};

use crate::config::{Problem, Severity};

/// A file that is not read, and what takes its place.
pub type Unread = (&'static str, Severity, &'static str);

const ENVIRONMENT: &str = "variables of a session stand under [environment] of its kind: docs/kinds.md";
const NGINX: &str = "the daemon serves its port itself; what else is wanted goes into a proxy before the nodes";
const NODES: &str = "sessions run on the nodes of this cluster alone";
const PAGES: &str = "the daemon's pages are part of the program";

/// They are known from memory.
pub const UNREAD: [Unread; 15] = [
    (
        "ip-rules",
        // Who believes that others are kept out must learn that they are not.
        Severity::Error,
        "no addresses are kept out here: have a firewall, or a proxy before the nodes, keep them out, and the files without \
         this one in a directory of their own (evenkeel import)",
    ),
    ("env-vars", Severity::Warning, ENVIRONMENT),
    ("launcher-env", Severity::Warning, ENVIRONMENT),
    ("health-check", Severity::Warning, "GET /api/v1/nodes says how every node is"),
    ("launcher.kubernetes.conf", Severity::Warning, NODES),
    ("launcher.kubernetes.profiles.conf", Severity::Warning, NODES),
    ("launcher.slurm.conf", Severity::Warning, NODES),
    ("launcher.slurm.profiles.conf", Severity::Warning, NODES),
    ("login.html", Severity::Warning, PAGES),
    ("nginx.http.conf", Severity::Warning, NGINX),
    ("nginx.server.conf", Severity::Warning, NGINX),
    ("notifications.conf", Severity::Warning, "users are told on their pages of a node that is drained"),
    (
        "positron.conf",
        Severity::Warning,
        "there is no kind for Positron; one is made as a file in kinds: docs/kinds.md",
    ),
    ("r-versions", Severity::Warning, "RStudio Server finds R by RSTUDIO_WHICH_R in kinds/rstudio.toml"),
    ("repos.conf", Severity::Warning, "R reads its repositories from Rprofile.site or .Rprofile"),
];

/// What is to be said of those in a directory.
pub fn unread(directory: &Path) -> impl Iterator<Item = Problem> {
    let there = UNREAD.iter().map(|(name, severity, instead)| (directory.join(name), *severity, *instead));
    there.filter(|(path, _, _)| path.exists() && says_something(path)).map(|(path, severity, instead)| {
        let message = format!("is not read here: {instead}");
        match severity {
            Severity::Error => Problem::error(&path, 0, message),
            Severity::Warning => Problem::warning(&path, 0, message),
        }
    })
}

/// Whether there is more in a file than comments: some are installed with nothing else. One that cannot be read may say
/// anything.
fn says_something(path: &Path) -> bool {
    const LOOKED_AT: u64 = 1 << 20;
    let Ok(file) = File::open(path) else { return true };
    let mut lines = BufReader::new(file.take(LOOKED_AT)).split(b'\n');
    lines.any(|line| line.map_or(true, |line| !matches!(line.trim_ascii().first(), None | Some(b'#'))))
}
