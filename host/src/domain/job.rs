//! A job: a command or a script that is run to its end.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// What a job runs, and with what. Nothing of it goes through a shell, unless the script is one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// What is run.
    pub program: JobProgram,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Environment variables beside those that every session gets.
    pub environment: BTreeMap<String, String>,
    /// The directory it starts in; its user's home where none is named.
    pub directory: Option<String>,
}

/// What a job runs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobProgram {
    /// A program: a name to be looked for on the search path, or a path.
    Command(String),
    /// The text of a script, whose first line names its interpreter.
    Script(String),
}

/// What is wrong with a part of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobProblem {
    /// The part: `script`, `command`, `arguments`, `environment` or `directory`.
    pub part: &'static str,
    /// What it must be.
    pub problem: String,
}

/// The interpreter that a script's first line names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// Its absolute path.
    pub program: String,
    /// What it is given before the script: the rest of the line, in one piece, as the kernel does it.
    pub argument: Option<String>,
}

impl Job {
    /// The longest script, bytes.
    pub const LONGEST_SCRIPT: usize = 256 << 10;
    /// The longest argument, name, value or path, bytes.
    pub const LONGEST_TEXT: usize = 64 << 10;
    /// The most arguments.
    pub const MOST_ARGUMENTS: usize = 1000;
    /// The most variables.
    pub const MOST_VARIABLES: usize = 256;
    /// All of it as JSON, bytes: less than an order to a supervisor may have.
    pub const MOST_BYTES: usize = 512 << 10;

    /// Everything that is wrong with it.
    pub fn problems(&self) -> Vec<JobProblem> {
        let mut problems = Vec::new();
        let mut say = |part, problem: Option<String>| {
            problems.extend(problem.map(|problem| JobProblem { part, problem }));
        };
        match &self.program {
            JobProgram::Command(command) if command.is_empty() => {
                say("command", Some("must name a program".to_owned()));
            }
            JobProgram::Command(command) => say("command", text(command)),
            JobProgram::Script(script) if script.len() > Self::LONGEST_SCRIPT => {
                say("script", Some(format!("must be at most {} bytes", Self::LONGEST_SCRIPT)));
            }
            JobProgram::Script(script) => say("script", interpreter(script).err()),
        }
        if self.arguments.len() > Self::MOST_ARGUMENTS {
            say("arguments", Some(format!("must be at most {}", Self::MOST_ARGUMENTS)));
        }
        say("arguments", self.arguments.iter().find_map(|argument| text(argument)));
        if self.environment.len() > Self::MOST_VARIABLES {
            say("environment", Some(format!("must be at most {} variables", Self::MOST_VARIABLES)));
        }
        say("environment", self.environment.iter().find_map(|(name, value)| variable(name, value)));
        if let Some(directory) = &self.directory {
            let relative = (!directory.starts_with('/')).then(|| "must be an absolute path".to_owned());
            say("directory", relative.or_else(|| text(directory)));
        }
        let length = serde_json::to_vec(self).map_or(usize::MAX, |json| json.len());
        if problems.is_empty() && length > Self::MOST_BYTES {
            let problem = format!("must have at most {} bytes with all that belongs to it", Self::MOST_BYTES);
            problems.push(JobProblem { part: self.program.part(), problem });
        }
        problems
    }

    /// What it may be called where its user names nothing: the program's or the interpreter's name.
    pub fn title(&self) -> String {
        let path = match &self.program {
            JobProgram::Command(command) => command.clone(),
            JobProgram::Script(script) => interpreter(script).map(|found| found.program).unwrap_or_default(),
        };
        let name = path.rsplit('/').next().unwrap_or_default();
        name.chars().filter(|char| !char.is_control()).take(100).collect()
    }
}

impl JobProgram {
    /// The part that it is of a request.
    pub fn part(&self) -> &'static str {
        match self {
            Self::Command(_) => "command",
            Self::Script(_) => "script",
        }
    }
}

/// Reads the first line of a script. The kernel's own reading of it would need the script on a file system from which
/// programs may be executed, which runtime directories often are not.
pub fn interpreter(script: &str) -> Result<Interpreter, String> {
    const LONGEST: usize = 255;
    if script.contains('\0') {
        return Err("must not contain null characters".to_owned());
    }
    let wrong =
        || "must begin with a line that names its interpreter by an absolute path, such as #!/bin/sh".to_owned();
    let line = script.lines().next().and_then(|line| line.strip_prefix("#!")).map(str::trim).ok_or_else(wrong)?;
    if line.len() > LONGEST {
        return Err(format!("must have a first line of at most {LONGEST} bytes"));
    }
    let (program, argument) = match line.split_once([' ', '\t']) {
        Some((program, argument)) => (program, Some(argument.trim().to_owned())),
        None => (line, None),
    };
    if !program.starts_with('/') {
        return Err(wrong());
    }
    Ok(Interpreter { program: program.to_owned(), argument })
}

fn text(text: &str) -> Option<String> {
    if text.contains('\0') {
        Some("must not contain null characters".to_owned())
    } else if text.len() > Job::LONGEST_TEXT {
        Some(format!("must have at most {} bytes each", Job::LONGEST_TEXT))
    } else {
        None
    }
}

fn variable(name: &str, value: &str) -> Option<String> {
    let is_name =
        |(at, byte): (usize, u8)| byte == b'_' || byte.is_ascii_alphabetic() || (at > 0 && byte.is_ascii_digit());
    if name.is_empty() || name.len() > 128 || !name.bytes().enumerate().all(is_name) {
        let shown: String = name.chars().filter(|char| !char.is_control()).take(40).collect();
        Some(format!("{shown:?} is no name: letters, digits and underscores, at most 128, not beginning with a digit"))
    } else if name.starts_with("EVENKEEL_") {
        Some(format!("{name} belongs to the server"))
    } else {
        text(value).map(|problem| format!("{name} {problem}"))
    }
}

impl fmt::Debug for Job {
    /// Without what may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("title", &self.title()).finish_non_exhaustive()
    }
}

impl fmt::Debug for JobProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.part())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(program: JobProgram) -> Job {
        Job { program, arguments: Vec::new(), environment: BTreeMap::new(), directory: None }
    }

    fn script(text: &str) -> Job {
        job(JobProgram::Script(text.to_owned()))
    }

    fn parts(job: &Job) -> Vec<&'static str> {
        job.problems().iter().map(|problem| problem.part).collect()
    }

    #[test]
    fn a_script_names_its_interpreter_as_the_kernel_reads_it() {
        let read = |text: &str| interpreter(text).map(|found| (found.program, found.argument)).ok();
        let found = |program: &str, argument: Option<&str>| Some((program.to_owned(), argument.map(str::to_owned)));
        assert_eq!(read("#!/bin/sh"), found("/bin/sh", None));
        assert_eq!(read("#! /bin/bash -e -u \r\necho"), found("/bin/bash", Some("-e -u")));
        assert_eq!(read("#!/usr/bin/env\tpython3\n"), found("/usr/bin/env", Some("python3")));
        for wrong in ["", "echo", "#!", "#!sh", " #!/bin/sh", "#!/bin/sh\n\0"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
        assert!(interpreter(&format!("#!/{}", "x".repeat(300))).is_err());
    }

    #[test]
    fn every_part_that_is_wrong_is_named() {
        assert_eq!(parts(&script("#!/bin/sh\nexit 3\n")), [""; 0]);
        assert_eq!(parts(&script(&"x".repeat(Job::LONGEST_SCRIPT + 1))), ["script"]);
        let wrong = Job {
            arguments: vec!["a\0b".to_owned()],
            environment: BTreeMap::from([("1A".to_owned(), String::new())]),
            directory: Some("here".to_owned()),
            ..job(JobProgram::Command(String::new()))
        };
        assert_eq!(parts(&wrong), ["command", "arguments", "environment", "directory"]);
    }

    #[test]
    fn names_of_variables_are_names() {
        for good in ["A", "_", "PATH", "a1_"] {
            assert_eq!(variable(good, "x=\n"), None, "{good}");
        }
        for bad in ["", "1", "A-B", "A=B", "é", "EVENKEEL_SESSION_DIR", &"A".repeat(129)] {
            assert!(variable(bad, "").is_some(), "{bad}");
        }
        assert!(variable("A", "\0").is_some());
    }

    #[test]
    fn counts_and_the_whole_are_bounded() {
        let many = Job { arguments: vec![String::new(); Job::MOST_ARGUMENTS + 1], ..script("#!/bin/sh") };
        assert_eq!(parts(&many), ["arguments"]);
        // Control characters take six bytes each as JSON.
        let large = script(&format!("#!/bin/sh\n{}", "\u{1}".repeat(100 << 10)));
        assert_eq!(parts(&large), ["script"]);
    }

    #[test]
    fn what_may_be_secret_is_not_printed() {
        let job = Job {
            arguments: vec!["hunter2".to_owned()],
            environment: BTreeMap::from([("PASSWORD".to_owned(), "hunter2".to_owned())]),
            ..script("#!/bin/sh\nhunter2")
        };
        assert!(!format!("{job:?} {:?}", job.program).contains("hunter2"));
        assert_eq!(job.title(), "sh");
    }
}
