//! The program `evenkeel`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // A supervisor stays small and knows nothing of the daemon's command line.
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next();
    if first.as_ref().is_some_and(|first| first == "supervisor") {
        return evenkeel::launcher::supervisor::main(arguments);
    }
    if first.as_ref().is_some_and(|first| first == evenkeel::balancer::wasm::COMPILER) {
        return evenkeel::balancer::wasm::compile();
    }
    if first.is_some_and(|first| first == evenkeel::pam::CHECKER) {
        return evenkeel::pam::main();
    }
    evenkeel::cli::main()
}
