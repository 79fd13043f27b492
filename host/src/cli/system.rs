//! The one place where time, randomness and the surroundings come from.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::{
    config::Surroundings,
    domain::{Clock, Entropy},
};

/// The system's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "here is where time comes from")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// The kernel's random numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(clippy::disallowed_methods, clippy::expect_used, reason = "here is where randomness comes from")]
    fn fill(&self, bytes: &mut [u8]) {
        // Fails only on kernels without the system call: no secret may then be made.
        getrandom::fill(bytes).expect("the kernel gives random numbers");
    }
}

/// Who runs this program, and where.
pub(super) fn surroundings() -> Surroundings {
    let directory = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    Surroundings {
        root: nix::unistd::geteuid().is_root(),
        home: directory("HOME"),
        xdg_data_home: directory("XDG_DATA_HOME"),
        xdg_runtime_dir: directory("XDG_RUNTIME_DIR"),
        host_name: nix::unistd::gethostname()
            .map_or_else(|_| "localhost".to_owned(), |name| name.to_string_lossy().into_owned()),
    }
}

/// How many files this process may have open at once.
pub(super) fn most_open_files() -> usize {
    let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
    limit.map_or(1024, |(soft, _)| usize::try_from(soft).unwrap_or(usize::MAX))
}
