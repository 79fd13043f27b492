//! From a job to what is executed.

use std::path::Path;

use super::prepare::Work;
use crate::{
    domain::{
        Job, JobProgram,
        job::{Interpreter, interpreter},
    },
    launcher::{
        LaunchError,
        record::{OrderFile, SCRIPT},
    },
};

/// What a job comes to. A script is given to its interpreter, as the kernel would, since the session's directory may be on
/// a file system from which nothing may be executed. A command is looked for by whoever executes it: as its user, and
/// where the user's own search path says.
pub(super) fn work(job: &Job, directory: &Path) -> Result<Work, LaunchError> {
    let own = job.arguments.iter().cloned();
    let (program, arguments, files) = match &job.program {
        JobProgram::Command(command) => (command.into(), own.collect(), Vec::new()),
        JobProgram::Script(text) => {
            let Interpreter { program, argument } = interpreter(text)
                .map_err(|problem| LaunchError::Program { program: "the script".to_owned(), problem })?;
            let script = directory.join(SCRIPT).display().to_string();
            let file = OrderFile { name: SCRIPT.to_owned(), content: text.clone() };
            (program.into(), argument.into_iter().chain([script]).chain(own).collect(), vec![file])
        }
    };
    Ok(Work { program, arguments, directory: job.directory.as_ref().map(Into::into), files })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::PathBuf};

    use super::*;

    fn of(program: JobProgram) -> Work {
        let job = Job {
            program,
            arguments: vec!["a b".to_owned(), "$HOME;".to_owned()],
            environment: BTreeMap::new(),
            directory: Some("/srv".to_owned()),
        };
        work(&job, Path::new("/run/x")).unwrap()
    }

    #[test]
    fn a_script_is_given_to_its_interpreter_and_its_arguments_are_left_as_they_are() {
        let work = of(JobProgram::Script("#!/usr/bin/env python3\nprint(1)\n".to_owned()));
        assert_eq!(work.program, PathBuf::from("/usr/bin/env"));
        assert_eq!(work.arguments, ["python3", "/run/x/script", "a b", "$HOME;"]);
        assert_eq!(work.files[0].name, "script");
        assert_eq!(work.directory, Some(PathBuf::from("/srv")));
    }

    #[test]
    fn a_command_is_executed_as_it_is() {
        let work = of(JobProgram::Command("make".to_owned()));
        assert_eq!((work.program, work.arguments.len(), work.files.len()), (PathBuf::from("make"), 2, 0));
    }
}
