//! Passwords in files, encrypted under a key derived from the cluster key: XChaCha20-Poly1305.
//!
//! The text is `evenkeel1.`, the fingerprint of the key, a dot, and base64url of nonce and ciphertext. What stands before
//! the ciphertext is authenticated with it. The fingerprint tells a wrong key from a value that was altered.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use zeroize::Zeroizing;

use super::{ClusterKey, Keys};
use crate::domain::Entropy;

/// What an encrypted value begins with; the number is that of its form.
pub const PREFIX: &str = "evenkeel1.";

/// The most bytes of a password.
pub const LONGEST: usize = 4096;

const PURPOSE: &str = "password";
const NONCE: usize = 24;
const TAG: usize = 16;

/// Why a value cannot be decrypted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// It was encrypted under a key that is not this node's.
    #[error(
        "it was encrypted under another secure-cookie-key ({theirs}; here it is {ours}): copy that key to this node, or run \
         `evenkeel encrypt-password` again"
    )]
    OtherKey {
        /// The fingerprint of the key it was encrypted under.
        theirs: String,
        /// That of the key that encrypts here.
        ours: String,
    },
    /// Part of it is missing, or something else is in its place.
    #[error("it was truncated or altered: run `evenkeel encrypt-password` again, and copy all that it prints")]
    Damaged,
    /// A later version of this program encrypted it.
    #[error("it was encrypted by a newer version of Evenkeel")]
    Newer,
    /// It seems to be what another product encrypted.
    #[error(
        "Evenkeel did not encrypt it; it looks like what another product did, which only that can decrypt: run \
         `evenkeel encrypt-password` with the password itself"
    )]
    OtherProduct,
    /// It seems to be a password as it is.
    #[error("it is not encrypted: run `evenkeel encrypt-password`, and put what it prints in its place")]
    Plain,
}

/// Encrypts a password.
pub fn encrypt(password: &str, key: &ClusterKey, entropy: &dyn Entropy) -> String {
    let header = format!("{PREFIX}{}.", key.fingerprint());
    let nonce = entropy.bytes::<NONCE>();
    let payload = Payload { msg: password.as_bytes(), aad: header.as_bytes() };
    // Fails only for what is longer than 256 GiB.
    let ciphertext = cipher(key).encrypt(&XNonce::from(nonce), payload).unwrap_or_default();
    header + &URL_SAFE_NO_PAD.encode([&nonce[..], &ciphertext].concat())
}

/// Decrypts what [`encrypt`] made under one of the keys that hold.
pub fn decrypt(value: &str, keys: &Keys) -> Result<Zeroizing<String>, PasswordError> {
    let rest = value.strip_prefix(PREFIX).ok_or_else(|| unknown(value))?;
    let (fingerprint, sealed) = rest.split_once('.').ok_or(PasswordError::Damaged)?;
    if fingerprint.len() != 16 || !fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(PasswordError::Damaged);
    }
    let sealed = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| PasswordError::Damaged)?;
    let key = keys.all().find(|key| key.fingerprint() == fingerprint).ok_or_else(|| PasswordError::OtherKey {
        theirs: fingerprint.to_owned(),
        ours: keys.signing().fingerprint(),
    })?;
    let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE>().ok_or(PasswordError::Damaged)?;
    let header = &value[..PREFIX.len() + fingerprint.len() + 1];
    let payload = Payload { msg: ciphertext, aad: header.as_bytes() };
    let bytes = cipher(key).decrypt(&XNonce::from(*nonce), payload).map_err(|_| PasswordError::Damaged)?;
    String::from_utf8(bytes).map(Zeroizing::new).map_err(|_| PasswordError::Damaged)
}

fn cipher(key: &ClusterKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&key.derive(PURPOSE).into())
}

/// What a value is that does not begin as ours do.
fn unknown(value: &str) -> PasswordError {
    let is_newer = value.strip_prefix("evenkeel").and_then(|rest| rest.split_once('.'));
    if is_newer.is_some_and(|(number, _)| number.parse::<u32>().is_ok_and(|number| number > 1)) {
        return PasswordError::Newer;
    }
    if is_of_another_product(value) { PasswordError::OtherProduct } else { PasswordError::Plain }
}

/// Whether it is base64 of what a block cipher gives, a vector before it: Workbench's values are, some with the hash of
/// its key in hexadecimal digits behind.
fn is_of_another_product(value: &str) -> bool {
    let is_sealed = |text: &str| STANDARD.decode(text).is_ok_and(|bytes| bytes.len() >= 2 * TAG);
    let without_hash = value.len().checked_sub(8).and_then(|at| value.split_at_checked(at));
    is_sealed(value)
        || without_hash.is_some_and(|(text, hash)| hash.bytes().all(|byte| byte.is_ascii_hexdigit()) && is_sealed(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fakes::Numbers;

    fn key(text: &str) -> ClusterKey {
        ClusterKey::from_bytes(text.as_bytes().to_vec())
    }

    fn keys() -> Keys {
        Keys::one(key("the-key-of-the-cluster"))
    }

    #[test]
    fn what_was_encrypted_is_decrypted_and_no_two_values_are_the_same() {
        let entropy = Numbers::default();
        for password in ["s3cret", " blanks = and # signs ", "пароль", &"x".repeat(LONGEST)] {
            let [one, other] = [(); 2].map(|()| encrypt(password, keys().signing(), &entropy));
            assert_ne!(one, other);
            assert!(one.starts_with(PREFIX) && !one.contains(password), "{one}");
            assert_eq!(*decrypt(&one, &keys()).unwrap(), password);
            assert_eq!(*decrypt(&other, &keys()).unwrap(), password);
        }
    }

    #[test]
    fn another_key_is_told_from_a_value_that_was_altered() {
        let value = encrypt("s3cret", &key("the-key-of-another-cluster"), &Numbers::default());
        let error = decrypt(&value, &keys()).unwrap_err();
        assert!(matches!(&error, PasswordError::OtherKey { theirs, ours } if theirs != ours));
        assert!(error.to_string().contains("another secure-cookie-key"), "{error}");
    }

    #[test]
    fn a_value_that_lacks_or_has_changed_any_character_is_refused() {
        let value = encrypt("s3cret", keys().signing(), &Numbers::default());
        for end in PREFIX.len()..value.len() {
            assert_eq!(decrypt(&value[..end], &keys()).unwrap_err(), PasswordError::Damaged, "{}", &value[..end]);
        }
        for at in 0..value.len() {
            let other = if value.as_bytes()[at] == b'A' { "B" } else { "A" };
            let mut altered = value.clone();
            altered.replace_range(at..=at, other);
            decrypt(&altered, &keys()).unwrap_err();
        }
        assert_eq!(decrypt(&format!("{value}x"), &keys()).unwrap_err(), PasswordError::Damaged);
    }

    #[test]
    fn while_the_key_is_replaced_values_of_either_are_decrypted() {
        let [old, new] = ["the-old-key-of-the-cluster", "the-new-key-of-the-cluster"];
        let keys = Keys::parse(&format!("{new}\nprevious {old}")).unwrap();
        for text in [old, new] {
            let value = encrypt("s3cret", &key(text), &Numbers::default());
            assert_eq!(*decrypt(&value, &keys).unwrap(), "s3cret");
        }
    }

    #[test]
    fn a_value_of_another_product_and_a_plain_password_are_told_apart() {
        let of = |value: &str| decrypt(value, &keys()).unwrap_err();
        let other = STANDARD.encode([7; 48]);
        assert_eq!(of(&other), PasswordError::OtherProduct);
        assert_eq!(of(&format!("{other}DE2F49BF")), PasswordError::OtherProduct);
        for plain in ["s3cret", "", "evenkeel", "evenkeel is fine", "correct horse battery staple", "пароль пароль"]
        {
            assert_eq!(of(plain), PasswordError::Plain, "{plain}");
        }
        assert_eq!(of("evenkeel2.0011223344556677.AAAA"), PasswordError::Newer);
    }
}
