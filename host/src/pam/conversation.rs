//! What PAM's modules ask and say while they decide, and what they are answered: the password, and nothing else.

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    ptr,
};

use nix::libc;

use super::password::Password;
use crate::domain::text::clean;

/// As `pam_message` in `security/_pam_types.h` of Linux-PAM.
#[repr(C)]
pub(super) struct Message {
    style: c_int,
    text: *const c_char,
}

/// As `pam_response`.
#[repr(C)]
pub(super) struct Response {
    text: *mut c_char,
    code: c_int,
}

/// As `pam_conv`.
#[repr(C)]
pub(super) struct Conversation {
    call: extern "C" fn(c_int, *const *const Message, *mut *mut Response, *mut c_void) -> c_int,
    talk: *mut c_void,
}

impl Conversation {
    /// One that speaks for `talk`, which must outlive it and be used by nobody else meanwhile.
    pub(super) fn of(talk: *mut Talk) -> Self {
        Self { call: converse, talk: talk.cast() }
    }
}

const SUCCESS: c_int = 0;
const BUFFER_ERROR: c_int = 5;
const CONVERSATION_ERROR: c_int = 19;

const PROMPT_WITHOUT_ECHO: c_int = 1;
const PROMPT_WITH_ECHO: c_int = 2;
const ERROR: c_int = 3;
const INFORMATION: c_int = 4;

/// Messages in one call, as Linux-PAM has it.
const MOST_AT_ONCE: c_int = 32;
/// Questions that are answered in all. A stack of several modules may ask for the password more than once.
const MOST_QUESTIONS: usize = 4;
/// Sentences to the user that are kept.
const MOST_TEXTS: usize = 4;
/// Bytes of each.
const LONGEST_TEXT: usize = 400;

/// One user's side of the conversation.
#[derive(Debug)]
pub(super) struct Talk {
    password: Password,
    questions: usize,
    texts: Vec<String>,
    /// A question that was not answered.
    unanswered: Option<String>,
}

impl Talk {
    pub(super) fn new(password: Password) -> Self {
        Self { password, questions: 0, texts: Vec::new(), unanswered: None }
    }

    /// What was said since this was asked last.
    pub(super) fn take_texts(&mut self) -> Vec<String> {
        std::mem::take(&mut self.texts)
    }

    /// The question that could not be answered, if there was one.
    pub(super) fn unanswered(&self) -> Option<&str> {
        self.unanswered.as_deref()
    }

    /// The answer to one message: the password where one is asked for unseen, as every module asks for it. What is to be
    /// seen while it is typed is no password, and nobody is there to be asked anything else.
    fn answer(&mut self, style: c_int, text: &str) -> Result<Option<&Password>, c_int> {
        match style {
            PROMPT_WITHOUT_ECHO if self.questions < MOST_QUESTIONS => {
                self.questions += 1;
                Ok(Some(&self.password))
            }
            ERROR | INFORMATION => {
                let text = clean(text, LONGEST_TEXT);
                if !text.is_empty() && self.texts.len() < MOST_TEXTS {
                    self.texts.push(text);
                }
                Ok(None)
            }
            PROMPT_WITHOUT_ECHO | PROMPT_WITH_ECHO => {
                self.unanswered = Some(clean(text, LONGEST_TEXT));
                Err(CONVERSATION_ERROR)
            }
            _ => Err(CONVERSATION_ERROR),
        }
    }
}

#[expect(unsafe_code, reason = "called by the C library, with pointers of its own")]
extern "C" fn converse(
    count: c_int,
    messages: *const *const Message,
    responses: *mut *mut Response,
    talk: *mut c_void,
) -> c_int {
    if messages.is_null() || responses.is_null() || talk.is_null() || !(1..=MOST_AT_ONCE).contains(&count) {
        return CONVERSATION_ERROR;
    }
    let count = count.unsigned_abs() as usize;
    // SAFETY: `Conversation::of` was given it, and it is used by nobody else while PAM is at work.
    let talk = unsafe { &mut *talk.cast::<Talk>() };
    // SAFETY: plain memory of that many responses, all zero; PAM frees it.
    let answers = unsafe { libc::calloc(count, size_of::<Response>()) }.cast::<Response>();
    if answers.is_null() {
        return BUFFER_ERROR;
    }
    for index in 0..count {
        // SAFETY: PAM passes an array of `count` pointers to messages; each is checked before it is followed.
        let message = unsafe { (*messages.add(index)).as_ref() };
        let outcome = message.ok_or(CONVERSATION_ERROR).and_then(|message| {
            let text = match message.text.is_null() {
                true => "".into(),
                // SAFETY: a message's text is a C string of the module's.
                false => unsafe { CStr::from_ptr(message.text) }.to_string_lossy(),
            };
            talk.answer(message.style, &text)
        });
        let text = match outcome {
            Ok(None) => continue,
            Ok(Some(password)) => copy(password),
            Err(code) => {
                give_back(answers, index);
                return code;
            }
        };
        if text.is_null() {
            give_back(answers, index);
            return BUFFER_ERROR;
        }
        // SAFETY: `index` is below `count`.
        unsafe { (*answers.add(index)).text = text };
    }
    // SAFETY: checked above not to be null; PAM has room for one pointer there.
    unsafe { *responses = answers };
    SUCCESS
}

/// A copy as the C library wants it: PAM overwrites and frees it.
#[expect(unsafe_code, reason = "the copy is freed by the C library")]
fn copy(password: &Password) -> *mut c_char {
    let bytes = password.bytes();
    // SAFETY: one byte more than is copied, all zero, so that the copy ends as a C string does.
    unsafe {
        let copy = libc::calloc(bytes.len() + 1, 1).cast::<u8>();
        if !copy.is_null() {
            ptr::copy_nonoverlapping(bytes.as_ptr(), copy, bytes.len());
        }
        copy.cast()
    }
}

/// Frees answers that PAM does not get, of which the first `count` may have a text.
#[expect(unsafe_code, reason = "made by the C library's allocator")]
fn give_back(answers: *mut Response, count: usize) {
    for index in 0..count {
        // SAFETY: `count` is at most the length of the array; its texts are null, or C strings of `copy`.
        unsafe {
            let text = (*answers.add(index)).text;
            if !text.is_null() {
                let length = libc::strlen(text);
                zeroize::Zeroize::zeroize(std::slice::from_raw_parts_mut(text.cast::<u8>(), length));
                libc::free(text.cast());
            }
        }
    }
    // SAFETY: made by `calloc` in `converse`, and not given to anybody.
    unsafe { libc::free(answers.cast()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk() -> Talk {
        Talk::new(Password::from("secret"))
    }

    #[test]
    fn the_password_is_given_where_it_is_asked_for_unseen_and_not_for_ever() {
        let mut talk = talk();
        for _ in 0..MOST_QUESTIONS {
            let answer = talk.answer(PROMPT_WITHOUT_ECHO, "Password: ").unwrap().unwrap();
            assert_eq!(answer.bytes(), b"secret");
        }
        assert_eq!(talk.answer(PROMPT_WITHOUT_ECHO, "Password: ").unwrap_err(), CONVERSATION_ERROR);
        assert_eq!(talk.unanswered(), Some("Password:"));
    }

    #[test]
    fn a_second_factor_that_is_typed_in_sight_is_not_answered() {
        let mut talk = talk();
        assert_eq!(talk.answer(PROMPT_WITH_ECHO, "One-time\ncode: ").unwrap_err(), CONVERSATION_ERROR);
        assert_eq!(talk.unanswered(), Some("One-time code:"));
    }

    #[test]
    fn what_modules_say_is_kept_within_bounds() {
        let mut talk = talk();
        for _ in 0..100 {
            talk.answer(ERROR, &"x".repeat(10_000)).unwrap();
        }
        let texts = talk.take_texts();
        assert_eq!((texts.len(), texts[0].len()), (MOST_TEXTS, LONGEST_TEXT));
        assert!(talk.take_texts().is_empty());
    }

    #[test]
    #[expect(unsafe_code, reason = "as PAM calls it")]
    fn a_call_as_pam_makes_it_gets_an_answer_for_each_message() {
        let mut talk = talk();
        let messages = [(ERROR, c"no"), (PROMPT_WITHOUT_ECHO, c"Password:")];
        let messages = messages.map(|(style, text)| Message { style, text: text.as_ptr() });
        let pointers = [&raw const messages[0], &raw const messages[1]];
        let mut responses: *mut Response = ptr::null_mut();
        let conversation = Conversation::of(&raw mut talk);
        let code = (conversation.call)(2, pointers.as_ptr(), &raw mut responses, conversation.talk);
        assert_eq!(code, SUCCESS);
        // SAFETY: two responses were asked for; the second has the password, and both are the test's to free.
        unsafe {
            assert!((*responses).text.is_null());
            assert_eq!(CStr::from_ptr((*responses.add(1)).text), c"secret");
        }
        give_back(responses, 2);
        assert_eq!(talk.take_texts(), ["no"]);
        for count in [-1, 0, MOST_AT_ONCE + 1] {
            let code = (conversation.call)(count, pointers.as_ptr(), &raw mut responses, conversation.talk);
            assert_eq!(code, CONVERSATION_ERROR, "{count}");
        }
    }
}
