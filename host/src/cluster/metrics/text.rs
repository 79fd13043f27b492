//! The text format of Prometheus, as far as its numbers go.
//!
//! Comments, types among them, are passed over: a sample is a number under a key, whatever its kind.

use std::{collections::BTreeMap, fmt::Write as _};

/// The longest key, bytes.
const LONGEST_KEY: usize = 256;

/// The most samples of one text: more than a node publishes are of no use.
const MOST_SAMPLES: usize = 1_000;

/// One line's number.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    /// The name; where there are labels, `name{a="1",b="2"}`, sorted and escaped as in the format.
    pub(super) key: String,
    /// May be NaN or infinite.
    pub(super) value: f64,
    /// When it was taken, milliseconds since the Unix epoch, where the line says so.
    pub(super) taken: Option<i64>,
}

/// What a text says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Content {
    /// Its samples in their order, the first [`MOST_SAMPLES`].
    pub(super) samples: Vec<Sample>,
    /// How many more there are.
    pub(super) left_out: usize,
    /// The first line that is wrong, and what is wrong with it. The line itself is not quoted: it may be anything that a
    /// link leads to.
    pub(super) wrong: Option<(usize, &'static str)>,
}

/// Reads a text; lines that are wrong are left out. A last line without a line feed is wrong: it may be half of one.
pub(super) fn parse(text: &[u8]) -> Content {
    let mut content = Content::default();
    for (number, line) in (1..).zip(text.split_inclusive(|byte| *byte == b'\n')) {
        let sample = match line.strip_suffix(b"\n") {
            None => Err("is cut off: the last line must end with a line feed"),
            Some(line) => str::from_utf8(line).map_err(|_| "is not UTF-8").and_then(sample),
        };
        match sample {
            Ok(Some(_)) if content.samples.len() == MOST_SAMPLES => content.left_out += 1,
            Ok(sample) => content.samples.extend(sample),
            Err(problem) => content.wrong = content.wrong.or(Some((number, problem))),
        }
    }
    content
}

/// The sample of a line; none where that is empty or a comment.
fn sample(line: &str) -> Result<Option<Sample>, &'static str> {
    let line = line.trim_matches([' ', '\t', '\r']);
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (name, rest) = name(line, true).ok_or("expected the name of a metric")?;
    let (labels, rest) = match blanks(rest).strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None if rest.starts_with([' ', '\t']) => (BTreeMap::new(), rest),
        None => return Err("expected labels in braces or a value after the name"),
    };
    let mut words = rest.split_ascii_whitespace();
    let value = words.next().and_then(|word| word.parse().ok()).ok_or("expected a number as the value")?;
    let taken = words.next().map(|word| word.parse().map_err(|_| "expected a timestamp in whole milliseconds"));
    if words.next().is_some() {
        return Err("expected nothing after the timestamp");
    }
    let key = key(name, &labels);
    if key.len() > LONGEST_KEY {
        return Err("the name with its labels is longer than 256 bytes");
    }
    Ok(Some(Sample { key, value, taken: taken.transpose()? }))
}

/// The labels after an opening brace, and what follows the closing one.
fn labels(mut rest: &str) -> Result<(BTreeMap<&str, String>, &str), &'static str> {
    let mut labels = BTreeMap::new();
    loop {
        rest = blanks(rest);
        if let Some(rest) = rest.strip_prefix('}') {
            return Ok((labels, rest));
        }
        let (label, after) = name(rest, false).ok_or("expected the name of a label or a closing brace")?;
        let after = blanks(after).strip_prefix('=').ok_or("expected = after the name of a label")?;
        let after = blanks(after).strip_prefix('"').ok_or("expected the value of a label in double quotes")?;
        let (value, after) = quoted(after)?;
        if labels.insert(label, value).is_some() {
            return Err("a label is given twice");
        }
        rest = blanks(after);
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None if rest.starts_with('}') => {}
            None => return Err("expected a comma or a closing brace after a label"),
        }
    }
}

/// The text up to the closing quotes, and what follows those.
fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => value.push(match characters.next() {
                Some((_, 'n')) => '\n',
                Some((_, same @ ('\\' | '"'))) => same,
                _ => return Err(r#"only \\, \" and \n may follow a backslash in the value of a label"#),
            }),
            other => value.push(other),
        }
    }
    Err("the value of a label has no closing quotes")
}

/// A name and what follows it; only a metric's may have colons.
fn name(text: &str, colons: bool) -> Option<(&str, &str)> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || (colons && byte == b':');
    let end = text.bytes().position(|byte| !fits(byte)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let starts_well = name.bytes().next().is_some_and(|first| !first.is_ascii_digit());
    starts_well.then_some((name, rest))
}

fn blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

/// One key for one series, however its line is written. A label without a value is none, as in Prometheus.
fn key(name: &str, labels: &BTreeMap<&str, String>) -> String {
    let mut key = name.to_owned();
    for (label, value) in labels.iter().filter(|(_, value)| !value.is_empty()) {
        let value = value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
        let before = if key.len() == name.len() { '{' } else { ',' };
        // A string takes all that is written to it.
        let _ = write!(key, "{before}{label}=\"{value}\"");
    }
    if key.len() > name.len() {
        key.push('}');
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Sample {
        sample(line).unwrap_or_else(|problem| panic!("{line}: {problem}")).expect("a sample")
    }

    #[test]
    fn a_line_gives_a_number_under_its_key() {
        for (line, key, value, taken) in [
            ("gpus_free 3", "gpus_free", 3.0, None),
            (" \tgpus_free\t-1.5e3 1700000000000 \r", "gpus_free", -1500.0, Some(1_700_000_000_000)),
            ("a:b_9 +0.5 -1", "a:b_9", 0.5, Some(-1)),
            ("free{} 1", "free", 1.0, None),
            ("free {b=\"2\", a = \"1\" ,}1", "free{a=\"1\",b=\"2\"}", 1.0, None),
            ("free{a=\"\"} 1", "free", 1.0, None),
            (r#"free{a="x\\y\"z\n}, "} 1"#, r#"free{a="x\\y\"z\n}, "}"#, 1.0, None),
            ("free{kind=\"größe\"} 1", "free{kind=\"größe\"}", 1.0, None),
            ("h_bucket{le=\"+Inf\"} 7", "h_bucket{le=\"+Inf\"}", 7.0, None),
            ("free +Inf", "free", f64::INFINITY, None),
        ] {
            assert_eq!(one(line), Sample { key: key.to_owned(), value, taken }, "{line}");
        }
        assert!(one("free NaN").value.is_nan());
    }

    #[test]
    fn comments_and_empty_lines_give_nothing() {
        for line in ["", "  ", "\r", "# HELP free Free ones.", "  # TYPE free gauge", "#"] {
            assert_eq!(sample(line), Ok(None), "{line}");
        }
    }

    #[test]
    fn a_line_that_is_wrong_says_what_is() {
        for (line, complaint) in [
            ("9free 1", "name of a metric"),
            ("größe 1", "labels in braces or a value"),
            ("{a=\"1\"} 1", "name of a metric"),
            ("free", "labels in braces or a value"),
            ("free ", "labels in braces or a value"),
            ("free\u{a0}1", "labels in braces or a value"),
            ("free one", "a number"),
            ("free 1,5", "a number"),
            ("free 1 2.5", "whole milliseconds"),
            ("free 1 99999999999999999999", "whole milliseconds"),
            ("free 1 2 3", "nothing after"),
            ("free{ 1", "name of a label"),
            ("free{a} 1", "expected ="),
            ("free{a=1} 1", "in double quotes"),
            ("free{a=\"1} 1", "no closing quotes"),
            ("free{a=\"\\t\"} 1", "backslash"),
            ("free{a=\"1\" b=\"2\"} 1", "expected a comma"),
            ("free{a=\"1\",a=\"2\"} 1", "twice"),
            ("free{a=\"1\"}", "a number"),
            ("free{a:b=\"1\"} 1", "expected ="),
        ] {
            let problem = sample(line).expect_err(line);
            assert!(problem.contains(complaint), "{line}: {problem}");
        }
        assert!(sample(&format!("{} 1", "a".repeat(257))).is_err_and(|problem| problem.contains("256 bytes")));
        sample(&format!("{} 1", "a".repeat(256))).expect("the longest key");
    }

    #[test]
    fn the_first_wrong_line_is_named_and_the_others_count() {
        let content = parse(b"a 1\nb\n\xff 2\nc 3\n");
        let keys: Vec<_> = content.samples.iter().map(|sample| sample.key.as_str()).collect();
        assert_eq!(keys, ["a", "c"]);
        assert_eq!(content.wrong, Some((2, "expected labels in braces or a value after the name")));
        assert_eq!(parse(b"\xff 2\n").wrong, Some((1, "is not UTF-8")));
        assert_eq!(parse(b""), Content::default());
    }

    #[test]
    fn a_number_that_may_be_half_written_does_not_count() {
        let content = parse(b"a 1\nb 12");
        assert_eq!(content.samples.len(), 1);
        assert_eq!(content.wrong.expect("a problem").0, 2);
    }
}
