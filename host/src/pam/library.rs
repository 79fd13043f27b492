//! The system's PAM library, as far as it is used here, opened when it is needed.
//!
//! It is Linux-PAM's interface (`security/pam_appl.h`, `security/_pam_types.h`). Opened and not linked: neither the daemon nor a
//! supervisor maps it, and both run where there is none.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_uint, c_void},
    net::IpAddr,
    ptr,
};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::{
    Cause, Verdict,
    conversation::{Conversation, Talk},
    password::Password,
};

/// The name that Linux-PAM has had since 1999.
pub(super) const NAME: &str = "libpam.so.0";

/// What modules are told of where the user sits.
const TERMINAL: &CStr = c"evenkeel";

const SUCCESS: c_int = 0;
const PERMISSION_DENIED: c_int = 6;
const AUTHENTICATION_ERROR: c_int = 7;
const USER_UNKNOWN: c_int = 10;
const MOST_TRIES: c_int = 11;
const NEW_PASSWORD_REQUIRED: c_int = 12;
const ACCOUNT_EXPIRED: c_int = 13;
const CREDENTIALS_EXPIRED: c_int = 16;
const PASSWORD_EXPIRED: c_int = 27;

const ITEM_USER: c_int = 2;
const ITEM_TERMINAL: c_int = 3;
const ITEM_REMOTE_HOST: c_int = 4;
const ITEM_FAIL_DELAY: c_int = 10;

const DISALLOW_NULL_PASSWORD: c_int = 0x1;
const SILENT: c_int = 0x8000;

type Handle = *mut c_void;

/// The functions that are used.
pub(super) struct PamLibrary {
    start: unsafe extern "C" fn(*const c_char, *const c_char, *const Conversation, *mut Handle) -> c_int,
    end: unsafe extern "C" fn(Handle, c_int) -> c_int,
    authenticate: unsafe extern "C" fn(Handle, c_int) -> c_int,
    account: unsafe extern "C" fn(Handle, c_int) -> c_int,
    set_item: unsafe extern "C" fn(Handle, c_int, *const c_void) -> c_int,
    get_item: unsafe extern "C" fn(Handle, c_int, *mut *const c_void) -> c_int,
    error: unsafe extern "C" fn(Handle, c_int) -> *const c_char,
    /// The last to go: the functions lie in it.
    _library: Library,
}

impl PamLibrary {
    /// Opens it.
    #[expect(unsafe_code, reason = "a library of the C interface")]
    pub(super) fn open(name: &str) -> Result<Self, String> {
        let missing = |error| format!("{name} cannot be opened: {error}; is PAM installed (Debian: libpam0g)?");
        // SAFETY: what it does when it is loaded is the system's own affair; this process does nothing else.
        let library = unsafe { Library::open(Some(name), RTLD_NOW | RTLD_LOCAL) }.map_err(missing)?;
        // SAFETY: the types are those of Linux-PAM's header files.
        unsafe {
            Ok(Self {
                start: *library.get(b"pam_start\0").map_err(missing)?,
                end: *library.get(b"pam_end\0").map_err(missing)?,
                authenticate: *library.get(b"pam_authenticate\0").map_err(missing)?,
                account: *library.get(b"pam_acct_mgmt\0").map_err(missing)?,
                set_item: *library.get(b"pam_set_item\0").map_err(missing)?,
                get_item: *library.get(b"pam_get_item\0").map_err(missing)?,
                error: *library.get(b"pam_strerror\0").map_err(missing)?,
                _library: library,
            })
        }
    }

    /// Asks a service about a user.
    #[expect(unsafe_code, reason = "calls of the C interface")]
    pub(super) fn ask(
        &self,
        service: &str,
        user: &str,
        password: Password,
        client: Option<IpAddr>,
    ) -> Result<Verdict, String> {
        let text = |text: &str| CString::new(text).map_err(|_| "a name with a zero byte".to_owned());
        let (service, user) = (text(service)?, text(user)?);
        let mut talk = Talk::new(password);
        let talk = &raw mut talk;
        let conversation = Conversation::of(talk);
        let mut handle = ptr::null_mut();
        // SAFETY: the strings and the conversation outlive the handle, which ends in `Transaction`.
        let code = unsafe { (self.start)(service.as_ptr(), user.as_ptr(), &raw const conversation, &raw mut handle) };
        if code != SUCCESS || handle.is_null() {
            return Err(format!("it cannot be started: {}", self.words(handle, code)));
        }
        let mut transaction = Transaction { library: self, handle, talk, last: SUCCESS };
        transaction.set_up(client)?;
        transaction.run()
    }

    #[expect(unsafe_code, reason = "a call of the C interface")]
    fn words(&self, handle: Handle, code: c_int) -> String {
        // SAFETY: Linux-PAM does not look at the handle; what it returns is a constant string or null.
        let text = unsafe { (self.error)(handle, code) };
        if text.is_null() {
            return format!("error {code}");
        }
        // SAFETY: not null, and a C string.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }
}

/// A question that has begun and must be ended.
struct Transaction<'a> {
    library: &'a PamLibrary,
    handle: Handle,
    talk: *mut Talk,
    last: c_int,
}

impl Drop for Transaction<'_> {
    #[expect(unsafe_code, reason = "a call of the C interface")]
    fn drop(&mut self) {
        // SAFETY: begun by `pam_start`, and ended once.
        unsafe { (self.library.end)(self.handle, self.last) };
    }
}

impl Transaction<'_> {
    fn set_up(&mut self, client: Option<IpAddr>) -> Result<(), String> {
        // The daemon lets all refusals take the same time; one process for each that sleeps here would cost more.
        self.set(ITEM_FAIL_DELAY, do_not_wait as *const c_void)?;
        self.set(ITEM_TERMINAL, TERMINAL.as_ptr().cast())?;
        if let Some(client) = client {
            let host = CString::new(client.to_string()).unwrap_or_default();
            self.set(ITEM_REMOTE_HOST, host.as_ptr().cast())?;
        }
        Ok(())
    }

    #[expect(unsafe_code, reason = "a call of the C interface")]
    fn set(&mut self, item: c_int, value: *const c_void) -> Result<(), String> {
        // SAFETY: PAM copies strings; the function is one of this program.
        self.last = unsafe { (self.library.set_item)(self.handle, item, value) };
        if self.last == SUCCESS { Ok(()) } else { Err(self.library.words(self.handle, self.last)) }
    }

    #[expect(unsafe_code, reason = "calls of the C interface")]
    fn run(&mut self) -> Result<Verdict, String> {
        // SAFETY: the handle is good until it is dropped; so is what its conversation speaks for.
        self.last = unsafe { (self.library.authenticate)(self.handle, SILENT | DISALLOW_NULL_PASSWORD) };
        match self.last {
            SUCCESS => {}
            _ if self.unanswered().is_some() => return Err(self.failure()),
            PERMISSION_DENIED
            | AUTHENTICATION_ERROR
            | USER_UNKNOWN
            | MOST_TRIES
            | NEW_PASSWORD_REQUIRED
            | ACCOUNT_EXPIRED
            | CREDENTIALS_EXPIRED
            | PASSWORD_EXPIRED => return Ok(Verdict::Refused),
            _ => return Err(self.failure()),
        }
        // What was said before it was known who speaks is for nobody.
        self.texts();
        // SAFETY: as above. Not silent: what modules say to somebody whom they do not let in is wanted.
        self.last = unsafe { (self.library.account)(self.handle, DISALLOW_NULL_PASSWORD) };
        let cause = match self.last {
            SUCCESS => return self.user().map(|user| Verdict::Accepted { user }),
            NEW_PASSWORD_REQUIRED | PASSWORD_EXPIRED | CREDENTIALS_EXPIRED => Cause::PasswordExpired,
            ACCOUNT_EXPIRED => Cause::AccountExpired,
            PERMISSION_DENIED | AUTHENTICATION_ERROR | USER_UNKNOWN => Cause::Denied,
            _ => return Err(self.failure()),
        };
        Ok(Verdict::Closed { cause, texts: self.texts() })
    }

    /// The user's name: modules may have changed it.
    #[expect(unsafe_code, reason = "a call of the C interface")]
    fn user(&mut self) -> Result<String, String> {
        let mut user: *const c_void = ptr::null();
        // SAFETY: the handle is good; there is room for one pointer.
        self.last = unsafe { (self.library.get_item)(self.handle, ITEM_USER, &raw mut user) };
        if self.last != SUCCESS || user.is_null() {
            return Err("it does not say who the user is".to_owned());
        }
        // SAFETY: the item is a C string of the handle's.
        let user = unsafe { CStr::from_ptr(user.cast()) };
        user.to_str().map(str::to_owned).map_err(|_| "the user's name is not UTF-8".to_owned())
    }

    fn failure(&mut self) -> String {
        match self.unanswered() {
            Some(question) => format!("it asks for more than a password, which cannot be answered here: {question}"),
            None => self.library.words(self.handle, self.last),
        }
    }

    #[expect(unsafe_code, reason = "shared with the C interface")]
    fn unanswered(&self) -> Option<String> {
        // SAFETY: PAM is not at work now, and nobody else has it.
        unsafe { &*self.talk }.unanswered().map(str::to_owned)
    }

    #[expect(unsafe_code, reason = "shared with the C interface")]
    fn texts(&mut self) -> Vec<String> {
        // SAFETY: PAM is not at work now, and nobody else has it.
        unsafe { &mut *self.talk }.take_texts()
    }
}

/// In the place of a pause after a failure.
extern "C" fn do_not_wait(_outcome: c_int, _microseconds: c_uint, _data: *mut c_void) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_no_library_it_is_said_what_to_install() {
        let problem = PamLibrary::open("libpam-of-another-system.so.0").err().unwrap();
        assert!(problem.starts_with("libpam-of-another-system.so.0 cannot be opened: "), "{problem}");
        assert!(problem.ends_with("is PAM installed (Debian: libpam0g)?"), "{problem}");
    }
}
