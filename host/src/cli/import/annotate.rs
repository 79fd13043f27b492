//! A legacy file as it may stand here: every line that does not hold as it is has a remark above it.

use crate::config::legacy::{self, Answer};

/// What remarks begin with.
const REMARK: &str = "# evenkeel:";

/// Names that both products would use the same thing by.
const OWN: [(&str, &str, &str); 4] = [
    ("rserver.conf", "server-data-dir", "each product has a directory of its own for sockets; the usual one serves"),
    ("rserver.conf", "secure-cookie-key-file", "each product has a key of its own; Evenkeel makes one"),
    ("database.conf", "directory", "each product has a registry of its own; name another directory"),
    (
        "database.conf",
        "password",
        "only the product that encrypted it can decrypt it: run `evenkeel encrypt-password`, and put what it prints here",
    ),
];

/// What a database is named by.
const DATABASE: [&str; 2] = ["connection-uri", "database"];

/// A file with its remarks.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Annotated {
    pub(super) text: String,
    /// Settings that hold as they did.
    pub(super) honoured: usize,
    /// Settings that are not needed, and were taken out.
    pub(super) answered: usize,
    /// What is left to do, by the line of the copy.
    pub(super) to_do: Vec<(usize, String)>,
}

/// Annotates a file. With a port, that is where the copy listens.
///
/// `is_own` knows the names that are no legacy names and hold here.
pub(super) fn annotate(
    file: &str,
    source: &str,
    text: &str,
    port: Option<u16>,
    is_own: impl Fn(&str) -> bool,
) -> Annotated {
    let mut copy = Copy { annotated: Annotated::default(), lines: 0 };
    copy.push(&format!("{REMARK} imported from {source}; lines without a remark hold here as they did there."));
    if let (Some(port), "rserver.conf", None) = (port, file, find_setting(text, "www-port")) {
        copy.push(&format!("{REMARK} as the import was told."));
        copy.push(&format!("www-port={port}"));
    }
    let mut section = String::new();
    for line in text.strip_prefix('\u{feff}').unwrap_or(text).lines() {
        let content = line.trim();
        if let Some(header) = content.strip_prefix('[').and_then(|header| header.strip_suffix(']')) {
            header.trim().clone_into(&mut section);
        }
        if content.is_empty() || content.starts_with(['#', '[']) {
            copy.push(line);
            continue;
        }
        if file == "load-balancer" && section == "nodes" {
            copy.take_out(line, "nodes register themselves");
            continue;
        }
        match content.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
            Some((name, _)) if is_own(name) || section.starts_with("balancer ") => copy.keep(line),
            Some((name, value)) => copy.setting(file, (name, value), line, port),
            None => copy.leave(line, "this line has no form that is known"),
        }
    }
    copy.annotated
}

fn find_setting<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find(|line| line.split_once('=').is_some_and(|(known, _)| known.trim() == name))
}

struct Copy {
    annotated: Annotated,
    lines: usize,
}

impl Copy {
    fn push(&mut self, line: &str) {
        self.annotated.text.push_str(line);
        self.annotated.text.push('\n');
        self.lines += 1;
    }

    fn keep(&mut self, line: &str) {
        self.push(line);
        self.annotated.honoured += 1;
    }

    fn take_out(&mut self, line: &str, why: &str) {
        self.push(&format!("{REMARK} {why}"));
        self.push(&format!("#{line}"));
        self.annotated.answered += 1;
    }

    fn leave(&mut self, line: &str, what: &str) {
        self.push(&format!("{REMARK} TO DO: {what}"));
        self.push(line);
        self.annotated.to_do.push((self.lines, what.to_owned()));
    }

    fn setting(&mut self, file: &str, (name, value): (&str, &str), line: &str, port: Option<u16>) {
        if let Some((_, _, why)) = OWN.iter().find(|(own, known, _)| (*own, *known) == (file, name)) {
            self.take_out(line, why);
            if name == "password" {
                self.annotated.to_do.push((self.lines, format!("password: {why}")));
            }
            return;
        }
        match (legacy::find(file, name).map(|known| known.answer), port) {
            (Some(Answer::Honoured(_)), Some(port)) if file == "rserver.conf" && name == "www-port" => {
                self.moved(line, &format!("www-port={port}"));
            }
            (Some(Answer::Honoured(_)), Some(port)) if name == "www-host-name" && has_port(value) => {
                let host = value.rsplit_once(':').map_or(value, |(host, _)| host);
                self.moved(line, &format!("www-host-name={host}:{port}"));
            }
            (Some(Answer::Honoured(_)), _) if file == "database.conf" && DATABASE.contains(&name) => {
                self.leave(line, "Evenkeel needs an empty database of its own: name another than the other product's");
            }
            (Some(Answer::Honoured(_)), _) => self.keep(line),
            (Some(Answer::Instead(what)), _) => self.take_out(line, &format!("no effect here: {what}")),
            (Some(Answer::Only(only, _)), _) if legacy::is_that(value, only) => self.keep(line),
            // To take it out would have the daemon start as nobody asked it to.
            (Some(Answer::Only(_, why)), _) => self.leave(line, &format!("{name}={value} cannot be had: {why}")),
            (None, _) => self.leave(line, &format!("there is no setting {name}; it has no effect")),
        }
    }

    fn moved(&mut self, line: &str, to: &str) {
        self.push(&format!("{REMARK} as the import was told; it was {}", line.trim()));
        self.push(to);
        self.annotated.honoured += 1;
    }
}

fn has_port(value: &str) -> bool {
    let port = value.rsplit_once(':').map(|(_, port)| port);
    port.is_some_and(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(file: &str, text: &str, port: Option<u16>) -> (String, Vec<String>) {
        let Annotated { text, to_do, .. } = annotate(file, "/etc/rstudio/f", text, port, |name| name == "node-weight");
        let to_do = to_do.into_iter().map(|(line, what)| format!("{line}: {what}")).collect();
        (text.split_once('\n').unwrap().1.to_owned(), to_do)
    }

    #[test]
    fn what_holds_stays_what_does_not_is_taken_out_with_the_reason() {
        let text = "# ours\nwww-port=80\nlauncher-port=5559\n\n[x]\n";
        let (copied, to_do) = copy("rserver.conf", text, None);
        let (before, after) = copied.split_once("# evenkeel: no effect here: there is no launcher").unwrap();
        assert_eq!(before, "# ours\nwww-port=80\n");
        assert!(after.ends_with("\n#launcher-port=5559\n\n[x]\n"), "{after}");
        assert_eq!(to_do, [""; 0]);
    }

    #[test]
    fn what_would_be_another_start_than_was_asked_for_stays_and_is_to_be_done() {
        let (copied, to_do) = copy("launcher.conf", "[cluster]\ntype=Slurm\n", None);
        assert!(copied.ends_with("\ntype=Slurm\n") && copied.contains("# evenkeel: TO DO: type=Slurm cannot be had"));
        assert_eq!(to_do.len(), 1);
        assert!(to_do[0].starts_with("4: type=Slurm"), "{to_do:?}");
    }

    #[test]
    fn what_both_products_would_share_is_taken_out_and_a_password_is_to_be_encrypted_again() {
        let (copied, to_do) = copy("database.conf", "password=abc\n", None);
        assert!(copied.ends_with("\n#password=abc\n"), "{copied}");
        assert!(to_do[0].contains("evenkeel encrypt-password"), "{to_do:?}");
        let (copied, _) = copy("rserver.conf", "server-data-dir=/run/rstudio\n", None);
        assert!(copied.ends_with("\n#server-data-dir=/run/rstudio\n"), "{copied}");
    }

    #[test]
    fn what_only_this_product_knows_stays() {
        let (copied, to_do) = copy("rserver.conf", "node-weight=50\nnode-wieght=50\n", None);
        assert!(copied.starts_with("node-weight=50\n# evenkeel: TO DO: there is no setting node-wieght"), "{copied}");
        assert_eq!(to_do.len(), 1);
        let text = "[balancer mine]\nscheme=x\n";
        assert_eq!(copy("load-balancer", text, None), (text.to_owned(), Vec::new()));
    }

    #[test]
    fn ports_change_where_that_was_asked_for_and_nowhere_else() {
        let of = |file: &str, text: &str, port| copy(file, text, port).0.lines().last().unwrap_or_default().to_owned();
        assert_eq!(of("rserver.conf", "www-port=80\n", None), "www-port=80");
        assert_eq!(of("rserver.conf", "www-port=80\n", Some(81)), "www-port=81");
        let added = copy("rserver.conf", "admin-group=a\n[x]\n", Some(81)).0;
        assert!(added.ends_with("\nwww-port=81\nadmin-group=a\n[x]\n"), "{added}");
        assert_eq!(of("load-balancer", "www-host-name=left:80\n", Some(81)), "www-host-name=left:81");
        assert_eq!(of("load-balancer", "www-host-name=left\n", Some(81)), "www-host-name=left");
    }
}
