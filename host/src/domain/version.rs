//! Which versions of the program work side by side in one cluster, so that its nodes can be upgraded one after the other.
//!
//! Two versions do if they are the same or adjacent: of one major number, with minor numbers that differ by one at most; or
//! `N.0` beside any `(N-1).x`, of which it is the next. Patch numbers, and what follows a hyphen or a plus, do not count. What
//! cannot be read as a version works beside its like only.

/// Whether nodes of these two versions may be online at once.
pub fn side_by_side(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    let (Some(one), Some(other)) = (parse(one), parse(other)) else { return false };
    let (older, newer) = if one <= other { (one, other) } else { (other, one) };
    if older.0 == newer.0 { newer.1 - older.1 <= 1 } else { newer.0 - older.0 == 1 && newer.1 == 0 }
}

/// Major and minor number.
fn parse(version: &str) -> Option<(u32, u32)> {
    let core = version.split(['-', '+']).next()?;
    let mut numbers = core.split('.');
    let mut number = || {
        let digits = numbers.next()?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(digits)?.parse().ok()
    };
    Some((number()?, number()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_and_adjacent_versions_work_side_by_side_and_no_others() {
        for (one, other, expected) in [
            ("0.1.0", "0.1.0", true),
            ("0.1.0", "0.1.17", true),
            ("0.1.0", "0.2.0", true),
            ("0.2.3", "0.3.0-rc.1", true),
            ("0.2.3", "0.3.0+build7", true),
            ("0.1.0", "0.3.0", false),
            ("0.9.0", "0.10.0", true),
            ("0.9.0", "0.11.0", false),
            ("0.9.5", "1.0.0", true),
            ("1.3.0", "2.0.4", true),
            ("1.3.0", "2.1.0", false),
            ("1.0.0", "3.0.0", false),
            ("1.9.0", "1.1.0", false),
            ("0.1", "0.2", true),
            ("", "", true),
            ("", "0.1.0", false),
            ("0", "0.1.0", false),
            ("mine", "mine", true),
            ("mine", "0.1.0", false),
            ("+0.1.0", "0.1.0", false),
            ("0.99999999999.0", "0.1.0", false),
        ] {
            assert_eq!(side_by_side(one, other), expected, "{one} and {other}");
            assert_eq!(side_by_side(other, one), expected, "{other} and {one}");
        }
    }
}
