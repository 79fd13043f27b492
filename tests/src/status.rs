//! Reading the legacy status page, as strictly as a script that was written for it might.

use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};

/// One node on the page.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeStatus {
    /// `host:port`.
    pub address: String,
    /// Its IP address.
    pub ip: IpAddr,
    /// Load averages over 1, 5 and 15 minutes as they are written.
    pub load: [String; 3],
    /// The process ids of its sessions and whose they are.
    pub sessions: Vec<(u32, String)>,
}

/// Reads the whole page: per node `host:port - ip  Load: a, b, c`, then a line `   pid - user` for each session, then an
/// empty line.
pub fn parse(page: &str) -> Result<Vec<NodeStatus>> {
    let mut nodes = Vec::new();
    let mut open: Option<NodeStatus> = None;
    for (number, line) in page.lines().enumerate() {
        let place = || format!("line {} of the status page: {line:?}", number + 1);
        if line.is_empty() {
            nodes.push(open.take().with_context(place)?);
        } else if let Some(session) = line.strip_prefix("   ") {
            let (pid, user) = session.split_once(" - ").with_context(place)?;
            ensure!(!user.is_empty() && user.trim() == user, place());
            open.as_mut().with_context(place)?.sessions.push((pid.parse().with_context(place)?, user.to_owned()));
        } else {
            ensure!(open.is_none(), "no empty line before {}", place());
            open = Some(node(line).with_context(place)?);
        }
    }
    ensure!(open.is_none(), "the status page does not end with an empty line");
    Ok(nodes)
}

fn node(line: &str) -> Result<NodeStatus> {
    let (address, rest) = line.split_once(" - ").context("no ` - ` after the address")?;
    let (host, port) = address.rsplit_once(':').context("no port")?;
    ensure!(!host.is_empty() && port.parse::<u16>().is_ok(), "no host:port");
    let (ip, loads) = rest.split_once("  Load: ").context("no `  Load: `")?;
    let loads: Vec<String> = loads.split(", ").map(str::to_owned).collect();
    for load in &loads {
        let value: f64 = load.parse().with_context(|| format!("load {load:?} is no number"))?;
        ensure!(value.is_finite() && load.bytes().all(|b| b.is_ascii_digit() || b == b'.'), "load {load:?}");
    }
    let load = loads.try_into().ok().context("not three loads")?;
    Ok(NodeStatus { address: address.to_owned(), ip: ip.parse()?, load, sessions: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_page_is_read() {
        let page = "ip-172-31-29-53:8787 - 172.31.29.53  Load: 0.0063, 0.019, 0\n   48751 - user1\n   39972 - user1\n\n\
                    ip-172-31-28-224:8787 - 172.31.28.224  Load: 0.051, 0.041, 0.029\n\n";
        let nodes = parse(page).unwrap();
        assert_eq!(nodes.len(), 2);
        assert_eq!(nodes[0].sessions, [(48751, "user1".to_owned()), (39972, "user1".to_owned())]);
        assert_eq!(nodes[0].load, ["0.0063", "0.019", "0"]);
        assert_eq!(nodes[1].address, "ip-172-31-28-224:8787");
    }

    #[test]
    fn pages_that_a_legacy_script_could_not_read_are_refused() {
        for page in [
            "a:1 - 10.0.0.1  Load: 0, 0, 0\n",
            "a:1 - 10.0.0.1 Load: 0, 0, 0\n\n",
            "a:1 - 10.0.0.1  Load: 1e-5, 0, 0\n\n",
            "a:1 - 10.0.0.1  Load: 0, 0\n\n",
            "a - 10.0.0.1  Load: 0, 0, 0\n\n",
            "a:1 - host  Load: 0, 0, 0\n\n",
            "a:1 - 10.0.0.1  Load: 0, 0, 0\n  12 - u\n\n",
            "a:1 - 10.0.0.1  Load: 0, 0, 0\n   x - u\n\n",
            "   12 - u\n\n",
            "\n",
        ] {
            assert!(parse(page).is_err(), "{page:?}");
        }
    }
}
