//! The file `launcher.local.conf`.

use std::time::Duration;

use super::{
    Problem,
    file::File,
    reader::{self, Reader},
};

/// What it says.
#[derive(Default)]
pub(super) struct LauncherLocal {
    job_expiry: Option<Duration>,
    save_output: Option<bool>,
}

impl LauncherLocal {
    pub(super) fn read(file: &File, problems: &mut Vec<Problem>) -> Self {
        let mut reader = Reader::new(file, None, problems);
        let read = Self {
            job_expiry: reader.take("job-expiry-hours", reader::hours(1, 24 * 365)),
            save_output: reader.take("save-unspecified-output", reader::switch),
        };
        reader.finish();
        read
    }

    /// How long the logs of jobs are kept once they are over; none where they are not.
    pub(super) fn job_logs(&self) -> Option<Duration> {
        self.save_output.unwrap_or(true).then(|| self.job_expiry.unwrap_or(Duration::from_secs(24 * 3600)))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn kept(text: &str) -> (Option<Duration>, usize) {
        let mut problems = Vec::new();
        let file = File::parse(Path::new("launcher.local.conf"), text, &mut problems);
        (LauncherLocal::read(&file, &mut problems).job_logs(), problems.len())
    }

    #[test]
    fn logs_of_jobs_are_kept_for_a_day_unless_it_is_said_otherwise() {
        let hours = |hours: u64| Some(Duration::from_secs(hours * 3600));
        assert_eq!(kept(""), (hours(24), 0));
        assert_eq!(kept("job-expiry-hours=2\n"), (hours(2), 0));
        assert_eq!(kept("job-expiry-hours=2\nsave-unspecified-output=0\n"), (None, 0));
        assert_eq!(kept("job-expiry-hours=0\nscratch-path=/tmp\n").1, 2);
    }
}
