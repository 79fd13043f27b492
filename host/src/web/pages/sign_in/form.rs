//! The sign-in form as a browser sends it. The usual readers of forms leave copies of what they read in memory; a password
//! is decoded once, into memory that is wiped, and so is the form where nobody else holds it.

use bytes::Bytes;
use percent_encoding::percent_decode;
use zeroize::{Zeroize, Zeroizing};

use crate::pam::Password;

/// What was filled in.
pub(super) struct Filled {
    pub(super) user: String,
    pub(super) password: Password,
    pub(super) next: Option<String>,
}

impl Filled {
    /// Reads a form; what is missing is empty.
    pub(super) fn read(body: Bytes) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(&decoded(bytes)).into_owned();
        let filled = Self {
            user: value(&body, b"user").map(text).unwrap_or_default().trim().to_owned(),
            password: Password::new(value(&body, b"password").map(decoded).unwrap_or_default()),
            next: value(&body, b"next").map(text),
        };
        if let Ok(mut own) = body.try_into_mut() {
            own.as_mut().zeroize();
        }
        filled
    }
}

fn value<'a>(body: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    body.split(|byte| *byte == b'&').find_map(|field| field.strip_prefix(name)?.strip_prefix(b"="))
}

fn decoded(value: &[u8]) -> Zeroizing<Vec<u8>> {
    // As large as it can become: memory that grows is copied.
    let mut decoded = Zeroizing::new(Vec::with_capacity(value.len()));
    for (index, part) in value.split(|byte| *byte == b'+').enumerate() {
        if index > 0 {
            decoded.push(b' ');
        }
        decoded.extend(percent_decode(part));
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: &str) -> (String, Vec<u8>, Option<String>) {
        let Filled { user, password, next } = Filled::read(Bytes::copy_from_slice(form.as_bytes()));
        (user, password.bytes().to_vec(), next)
    }

    #[test]
    fn fields_are_decoded_as_browsers_encode_them() {
        let form = "next=%2Fs%2Fa&user=+ada+&password=a+b%2B%26%3D%C3%A4%25&x=1";
        assert_eq!(read(form), ("ada".to_owned(), "a b+&=ä%".as_bytes().to_vec(), Some("/s/a".to_owned())));
        assert_eq!(read("user=%ff%zz&password=a=b"), ("\u{fffd}%zz".to_owned(), b"a=b".to_vec(), None));
        assert_eq!(read(""), (String::new(), Vec::new(), None));
        assert_eq!(read("passwords=a&password&user"), (String::new(), Vec::new(), None));
    }
}
