//! Plain decimal numbers. The standard library's way with floats would be half of the module.

/// Reads `2`, `0.5` or `.5`: digits with at most one point, at most 15 of them, which a float holds exactly up to one
/// division. None for anything else.
pub(crate) fn read(text: &str) -> Option<f64> {
    let (mut digits, mut value, mut scale) = (0, 0_u64, 1_u64);
    let mut after_point = false;
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' if digits < 15 => {
                digits += 1;
                value = value * 10 + u64::from(byte - b'0');
                scale *= if after_point { 10 } else { 1 };
            }
            b'.' if !after_point => after_point = true,
            _ => return None,
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "both are below 2^53")]
    (digits > 0).then(|| value as f64 / scale as f64)
}

/// Shows a number of at least 0 with two decimal places.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a larger load is shown as the largest")]
pub(crate) fn show(value: f64) -> String {
    let hundredths = (value * 100.0 + 0.5) as u64;
    let places = hundredths % 100;
    let zero = if places < 10 { "0" } else { "" };
    [&(hundredths / 100).to_string(), ".", zero, &places.to_string()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_standard_library_reads() {
        for text in ["0", "1", "0.5", ".5", "2.", "0.1", "12.75", "999999999999999", "0.00000000000001", "3.14159"] {
            assert_eq!(read(text), text.parse().ok(), "{text}");
        }
    }

    #[test]
    fn refuses_everything_that_is_not_a_plain_decimal_number() {
        for text in ["", ".", "-1", "+1", "1e3", "inf", "nan", "1.2.3", "1,5", "1 000", "٣", "1234567890123456"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn shows_two_decimal_places() {
        for (value, shown) in
            [(0.0, "0.00"), (0.004, "0.00"), (0.256, "0.26"), (1.0, "1.00"), (12.999, "13.00"), (3.05, "3.05")]
        {
            assert_eq!(show(value), shown);
        }
    }
}
