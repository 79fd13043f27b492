//! The program `evenkeel`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // A supervisor stays small and knows nothing of the daemon's command line.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == "supervisor") {
        return evenkeel::launcher::supervisor::main(arguments);
    }
    evenkeel::cli::main()
}
