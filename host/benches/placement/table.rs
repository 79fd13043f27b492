//! The rows as a table, and the targets.

use std::time::Duration;

use crate::measure::Times;

/// One balancer over one number of nodes.
pub(crate) struct Row {
    pub(crate) nodes: usize,
    pub(crate) balancer: &'static str,
    pub(crate) wasm: Times,
    pub(crate) native: Times,
    /// None where a script cannot be called with so many nodes.
    pub(crate) script: Option<Times>,
}

/// Prints all rows in Markdown, times in µs.
pub(crate) fn print(rows: &[Row]) {
    println!(
        "| nodes | balancer | Wasm p50 | p99 | mean | native p50 | p99 | mean | script p50 | p99 | mean | Wasm : native | script : Wasm |"
    );
    println!("|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for Row { nodes, balancer, wasm, native, script } in rows {
        let (script, ratio) = match script {
            Some(times) => (cells(times), format!("{:.0}", ratio(times.p50, wasm.p50))),
            None => ("– | – | –".to_owned(), "–".to_owned()),
        };
        let slower = ratio(wasm.p50, native.p50);
        println!("| {nodes} | {balancer} | {} | {} | {script} | {slower:.1} | {ratio} |", cells(wasm), cells(native));
    }
}

fn cells(times: &Times) -> String {
    format!("{:.1} | {:.1} | {:.1}", micros(times.p50), micros(times.p99), micros(times.mean))
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn ratio(above: Duration, below: Duration) -> f64 {
    above.as_secs_f64() / below.as_secs_f64().max(1e-9)
}

/// The targets that were missed: over 1,000 nodes a p50 of 100 µs and a p99 of 250 µs; over 3 nodes 20 times cheaper than
/// a script.
pub(crate) fn missed(rows: &[Row]) -> Vec<String> {
    let mut missed = Vec::new();
    for Row { nodes, balancer, wasm, script, .. } in rows {
        if *nodes == 1_000 {
            for (name, time, limit) in [("p50", wasm.p50, 100.0), ("p99", wasm.p99, 250.0)] {
                if micros(time) > limit {
                    missed.push(format!(
                        "{balancer} over 1,000 nodes: {name} is {:.1} µs, and should be within {limit}",
                        micros(time)
                    ));
                }
            }
        }
        if let (3, Some(script)) = (*nodes, script) {
            let times = ratio(script.p50, wasm.p50);
            if times < 20.0 {
                missed.push(format!(
                    "{balancer} over 3 nodes: {times:.1} times cheaper than a script, and should be 20 times"
                ));
            }
        }
    }
    missed
}
