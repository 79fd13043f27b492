//! Evenkeel.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    // Before anything else: a supervisor stays small.
    if arguments.next().is_some_and(|word| word == "supervisor") {
        return evenkeel::launcher::supervisor::main(arguments);
    }
    ExitCode::SUCCESS
}
