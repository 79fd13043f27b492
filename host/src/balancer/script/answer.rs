//! What a script's output means.

use std::time::Duration;

use super::run::{End, MOST_OUTPUT, Run};
use crate::balancer::text::clean;

/// How much of what came back is shown, bytes.
pub(super) const SHOWN: usize = 200;

/// The index of the node that the script named. What is wrong with any other answer follows the script's path.
pub(super) fn node(run: &Run, nodes: &[String], limit: Duration) -> Result<u32, String> {
    let shown = || clean(&String::from_utf8_lossy(&run.output), SHOWN);
    let printed = || if run.output.is_empty() { "nothing".to_owned() } else { format!("`{}`", shown()) };
    match &run.end {
        End::Exited(0) => {}
        End::Exited(status) => return Err(format!("ended with exit status {status}, and printed {}", printed())),
        End::Signal(signal) => return Err(format!("was ended by {signal}, and printed {}", printed())),
        End::Late => return Err(format!("was killed after {} s, and had printed {}", limit.as_secs_f64(), printed())),
        End::TooMuch => return Err(format!("printed more than {MOST_OUTPUT} bytes, which begin with `{}`", shown())),
    }
    let Ok(text) = std::str::from_utf8(&run.output) else {
        return Err(format!("printed what is not UTF-8: `{}`", shown()));
    };
    let line = text.trim_end();
    if line.is_empty() {
        return Err("printed nothing".to_owned());
    }
    if let Some(index) = nodes.iter().position(|node| node == line) {
        return u32::try_from(index).map_err(|_| "named a node of too many".to_owned());
    }
    let lines = line.lines().count();
    if lines > 1 {
        return Err(format!("printed {lines} lines, and must print one: `{}`", shown()));
    }
    let port = format!("{line}:");
    let hint = match nodes.iter().find(|node| node.starts_with(&port)) {
        Some(node) => format!("; did it mean {}?", clean(node, SHOWN)),
        None => String::new(),
    };
    Err(format!("printed `{}`, which is none of the nodes it was given{hint}", shown()))
}
