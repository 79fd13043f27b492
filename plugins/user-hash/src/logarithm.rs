//! A natural logarithm that is the same to the bit on every machine and with every compiler: the standard library's is
//! the platform's, and the assignment of users must not hang on that.

/// The hash as a fraction of 2^128, strictly between 0 and 1, to 52 bits.
#[expect(clippy::cast_precision_loss, reason = "52 bits fit")]
pub(crate) fn fraction(hash: u128) -> f64 {
    const STEPS: f64 = (1_u64 << 52) as f64;
    ((hash >> 76) as u64 as f64 + 0.5) / STEPS
}

/// The natural logarithm of a normal number above 0.
///
/// With x = m × 2^e and m between √½ and √2, ln x = e ln 2 + 2 artanh((m - 1) / (m + 1)), whose series is cut where its
/// terms no longer count.
pub(crate) fn ln(x: f64) -> f64 {
    const MANTISSA: u64 = (1 << 52) - 1;
    const SQRT_2: u64 = std::f64::consts::SQRT_2.to_bits() & MANTISSA;

    let bits = x.to_bits();
    let up = u64::from(bits & MANTISSA > SQRT_2);
    let mantissa = f64::from_bits((bits & MANTISSA) | ((1023 - up) << 52));
    #[expect(clippy::cast_possible_truncation, reason = "an exponent has 11 bits")]
    let exponent = f64::from((bits >> 52) as u32 as i32 - 1023 + up as i32);

    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let mut series = 0.0;
    for divisor in [23.0, 21.0, 19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        series = series * square + 1.0 / divisor;
    }
    exponent * std::f64::consts::LN_2 + 2.0 * s * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_platform_to_a_few_units_in_the_last_place() {
        let mut x = 0.999_999_999_999;
        while x > 1e-16 {
            let (ours, theirs) = (ln(x), x.ln());
            assert!((ours - theirs).abs() <= 1e-15 * theirs.abs(), "ln {x:e}: {ours:e}, not {theirs:e}");
            x *= 0.991;
        }
    }

    #[test]
    fn every_hash_has_a_finite_score() {
        for hash in [0, 1, u128::MAX / 2, u128::MAX - 1, u128::MAX] {
            let fraction = fraction(hash);
            assert!(fraction > 0.0 && fraction < 1.0, "{hash:x}");
            assert!((1.0 / -ln(fraction)).is_finite(), "{hash:x}");
        }
    }
}
