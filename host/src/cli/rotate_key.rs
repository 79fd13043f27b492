//! `rotate-key`: replaces the cluster key step by step, so that whatever any node signs holds on every other.

use std::{
    fs::{File, TryLockError},
    path::Path,
};

use anyhow::{Context as _, anyhow};
use clap::Args;

use super::{Failure, LocationArguments, location_flags, output, report, system};
use crate::config::{self, Keys, Step, password};

/// Replace the secure-cookie-key in three steps, without anybody noticing.
///
/// Without a flag, a new key is made known; with --use it signs, and the old one holds still; with --finish the old one goes.
/// After each step, copy the file to every other node, and restart the daemons one by one, before the next.
#[derive(Debug, Args)]
pub(super) struct RotateArguments {
    /// Have the new key sign: once every node knows it
    #[arg(long = "use", conflicts_with = "finish")]
    begin_use: bool,
    /// Have the old key go: once every node signs with the new one, and sign-ins have been renewed
    #[arg(long)]
    finish: bool,
    #[command(flatten)]
    location: LocationArguments,
}

/// Takes a step.
pub(super) fn run(arguments: &RotateArguments) -> Result<(), Failure> {
    let flags = location_flags(&arguments.location);
    let wrong = |problems: Vec<config::Problem>| {
        report(&problems, false);
        Failure::Configuration
    };
    let places = config::key_places(&flags, &system::surroundings()).map_err(wrong)?;
    let looked = places.files().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
    let find = || places.find()?.with_context(|| format!("there is no secure-cookie-key: looked for {looked}"));
    // Of two at once, one would replace what it has not seen.
    let _alone = lock(&find()?.path)?;
    let mut found = find()?;
    // What a link leads to is what the nodes have.
    found.path = found.path.canonicalize().with_context(|| found.path.display().to_string())?;
    let step = match (arguments.begin_use, arguments.finish) {
        (false, false) => Step::Announce,
        (true, _) => Step::Use,
        (_, true) => Step::Finish,
    };
    let keys = found.keys.after(step, &system::SystemEntropy)?;
    let again = config::password_in_database_conf(&flags).and_then(|value| encrypted_anew(&value, &found.keys, &keys));
    if let (Step::Finish, Some(again)) = (step, &again) {
        return Err(anyhow!(
            "the password in database.conf is encrypted under the key that would go: put `password={again}` in its place on \
             every node first"
        )
        .into());
    }
    keys.replace(&found.path, &system::SystemEntropy).with_context(|| found.path.display().to_string())?;
    let file = found.path.display();
    output::line(format_args!(
        "{file} is changed. Copy it to every other node, and restart the daemons one by one; their sessions go on."
    ));
    output::line(match step {
        Step::Announce => "When all have been restarted: evenkeel rotate-key --use",
        Step::Use => {
            "When all have been restarted, and auth-timeout-minutes have passed, so that sign-ins are renewed: evenkeel \
             rotate-key --finish"
        }
        Step::Finish => "With that, the old key is worth nothing any more.",
    });
    if let (Step::Use, Some(again)) = (step, again) {
        output::line(format_args!(
            "When all have been restarted, put this into database.conf on every node: password={again}"
        ));
    }
    Ok(())
}

/// Keeps other commands from replacing a file, until it goes.
fn lock(file: &Path) -> anyhow::Result<File> {
    let directory = file.parent().with_context(|| format!("{} is in no directory", file.display()))?;
    let opened = File::open(directory).with_context(|| directory.display().to_string())?;
    match opened.try_lock() {
        Ok(()) => Ok(opened),
        Err(TryLockError::WouldBlock) => {
            Err(anyhow!("another rotate-key works on {}: see what it says before the next step", file.display()))
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} cannot be locked", directory.display()))
        }
    }
}

/// The password as it is to be from now on, where it can be decrypted by a key that goes alone.
fn encrypted_anew(value: &str, before: &Keys, after: &Keys) -> Option<String> {
    let password = password::decrypt(value, before).ok()?;
    let lasting = Keys::one(after.signing().clone());
    password::decrypt(value, &lasting)
        .is_err()
        .then(|| password::encrypt(&password, after.signing(), &system::SystemEntropy))
}
