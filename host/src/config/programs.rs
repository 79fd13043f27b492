//! What `rserver.conf` says of the programs of sessions, whatever their kind.

use super::reader::{self, Reader};

/// How programs are started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramOptions {
    /// `auth-minimum-user-id`: accounts with a lower user id have no sessions. Where it is not given, 1000, and the
    /// daemon's own account has sessions all the same.
    pub minimum_uid: Option<u32>,
    /// `session-login-shell`: programs are started by their user's login shell, so that its profile is read.
    pub login_shell: bool,
    /// `session-no-new-privileges`: programs gain no rights by what they execute, as by sudo.
    pub no_new_privileges: bool,
    /// `session-umask`.
    pub umask: u32,
    /// `rsession-memory-limit-mb`: a process's address space, bytes.
    pub address_space: Option<u64>,
    /// `rsession-stack-limit-mb`: a process's stack, bytes.
    pub stack: Option<u64>,
    /// `rsession-process-limit`: the processes of a user.
    pub processes: Option<u64>,
}

impl Default for ProgramOptions {
    fn default() -> Self {
        Self {
            minimum_uid: None,
            login_shell: true,
            no_new_privileges: false,
            umask: 0o022,
            address_space: None,
            stack: None,
            processes: None,
        }
    }
}

impl ProgramOptions {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let usual = Self::default();
        let mebibytes = |number: u32| u64::from(number) << 20;
        Self {
            minimum_uid: reader.take("auth-minimum-user-id", minimum_uid).flatten(),
            login_shell: reader.take("session-login-shell", reader::switch).unwrap_or(usual.login_shell),
            no_new_privileges: reader
                .take("session-no-new-privileges", reader::switch)
                .unwrap_or(usual.no_new_privileges),
            umask: reader.take("session-umask", umask).unwrap_or(usual.umask),
            address_space: reader.take("rsession-memory-limit-mb", limit).flatten().map(mebibytes),
            stack: reader.take("rsession-stack-limit-mb", limit).flatten().map(mebibytes),
            processes: reader.take("rsession-process-limit", limit).flatten().map(u64::from),
        }
    }
}

/// A user id; `auto` stands for the usual.
fn minimum_uid(value: &str) -> Result<Option<u32>, String> {
    match value {
        "auto" => Ok(None),
        _ => value.parse().map(Some).map_err(|_| "a user id or auto".to_owned()),
    }
}

/// A file mode mask in octal digits.
fn umask(value: &str) -> Result<u32, String> {
    match u32::from_str_radix(value, 8) {
        Ok(mask) if mask <= 0o777 => Ok(mask),
        _ => Err("octal digits from 000 to 777, such as 022".to_owned()),
    }
}

/// A limit; 0 stands for none.
fn limit(value: &str) -> Result<Option<u32>, String> {
    reader::number(0, u32::MAX)(value).map(|number| Some(number).filter(|number| *number > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_the_legacy_files_write_them() {
        assert_eq!((umask("077"), umask("22")), (Ok(0o077), Ok(0o022)));
        for wrong in ["", "8", "1000", "u=rwx"] {
            assert!(umask(wrong).is_err(), "{wrong}");
        }
        assert_eq!((limit("0"), limit("512")), (Ok(None), Ok(Some(512))));
        assert!(limit("-1").is_err());
        assert_eq!((minimum_uid("auto"), minimum_uid("100")), (Ok(None), Ok(Some(100))));
        assert!(minimum_uid("nobody").is_err());
    }
}
