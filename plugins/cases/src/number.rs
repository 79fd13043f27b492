//! Numbers of 64 bits, which TOML does not have: one beyond its integers is written as a string of digits.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Number {
    Integer(i64),
    Digits(String),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
pub(super) fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    i64::try_from(*number).map_or_else(|_| Number::Digits(number.to_string()), Number::Integer).serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match Number::deserialize(deserializer)? {
        Number::Integer(number) => {
            u64::try_from(number).map_err(|_| D::Error::custom(format_args!("{number} is negative")))
        }
        Number::Digits(text) => {
            text.parse().map_err(|_| D::Error::custom(format_args!("`{text}` is no number of 64 bits")))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Request;

    #[test]
    fn a_number_of_64_bits_survives_whatever_its_size() {
        for seed in [0, 7, i64::MAX as u64, u64::MAX] {
            let text = toml::to_string(&Request { seed, ..Request::default() }).expect("written");
            assert_eq!(toml::from_str::<Request>(&text).expect("read").seed, seed, "{text}");
        }
    }

    #[test]
    fn what_is_no_such_number_is_told() {
        for text in ["seed = -1", "seed = \"18446744073709551616\"", "seed = \"x\"", "seed = true"] {
            toml::from_str::<Request>(text).expect_err(text);
        }
    }
}
