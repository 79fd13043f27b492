//! Load figures at two significant digits.

/// `0.0063`, `0.019`, `1.2`, `120`; a bare `0` for zero; never an exponent, no zeros at the end of a fraction.
pub(in crate::web) fn two_digits(value: f64) -> String {
    if !value.is_finite() || value <= 0.0 {
        return "0".to_owned();
    }
    // `d.de±x`: the standard library rounds to the two digits, exactly.
    let scientific = format!("{value:.1e}");
    let parts = scientific.split_once('e').and_then(|(digits, exponent)| Some((digits, exponent.parse::<i32>().ok()?)));
    let Some((digits, exponent)) = parts else { return "0".to_owned() };
    let digits: String = digits.chars().filter(|c| *c != '.').collect();
    let places = usize::try_from(exponent.unsigned_abs()).unwrap_or_default();
    if exponent < 0 {
        let zeros = "0".repeat(places - 1);
        format!("0.{zeros}{}", digits.trim_end_matches('0'))
    } else if places == 0 {
        let (whole, fraction) = digits.split_at(1);
        if fraction == "0" { whole.to_owned() } else { format!("{whole}.{fraction}") }
    } else {
        format!("{digits}{}", "0".repeat(places - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::two_digits;

    #[test]
    fn loads_have_two_significant_digits_and_no_exponent() {
        for (value, text) in [
            (0.0063, "0.0063"),
            (0.019, "0.019"),
            (0.0, "0"),
            (0.051, "0.051"),
            (0.1, "0.1"),
            (0.996, "1"),
            (1.0, "1"),
            (1.2, "1.2"),
            (9.96, "10"),
            (12.0, "12"),
            (123.4, "120"),
            (1234.5, "1200"),
            (0.00001, "0.00001"),
            (0.000_012_34, "0.000012"),
        ] {
            assert_eq!(two_digits(value), text);
        }
    }

    #[test]
    fn what_is_no_load_is_zero() {
        for value in [f64::NAN, f64::INFINITY, -1.0, -0.0] {
            assert_eq!(two_digits(value), "0");
        }
    }
}
