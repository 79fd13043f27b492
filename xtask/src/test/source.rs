//! Reading Rust sources as far as the checks need: the code without its comments and texts.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// The Rust files below a directory, sorted.
pub(super) fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The code with comments and the contents of texts blanked out; line breaks stay, so that lines can be counted.
pub(super) fn code(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let end = skipped(&characters, at);
        if end > at {
            code.extend(characters[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        } else {
            code.push(characters[at]);
            at += 1;
        }
    }
    code
}

/// Where the comment or text that begins at `at` ends; `at` where none does.
fn skipped(c: &[char], at: usize) -> usize {
    let follows = |at: usize, text: &str| text.chars().enumerate().all(|(i, wanted)| c.get(at + i) == Some(&wanted));
    let after_word = at > 0 && (c[at - 1].is_alphanumeric() || c[at - 1] == '_');
    if follows(at, "//") {
        return (at..c.len()).find(|&i| c[i] == '\n').unwrap_or(c.len());
    }
    if follows(at, "/*") {
        return block_comment(c, at);
    }
    if c[at] == 'r' && !after_word || c[at] == 'r' && at > 0 && matches!(c[at - 1], 'b' | 'c') {
        let hashes = c[at + 1..].iter().take_while(|&&c| c == '#').count();
        if c.get(at + 1 + hashes) == Some(&'"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let start = at + 2 + hashes;
            let end = (start..c.len()).find(|&i| follows(i, &close));
            return end.map_or(c.len(), |end| end + close.len());
        }
    }
    match c[at] {
        '"' => quoted(c, at, '"'),
        // A character, and not a lifetime.
        '\'' if c.get(at + 1) == Some(&'\\') || c.get(at + 2) == Some(&'\'') => quoted(c, at, '\''),
        _ => at,
    }
}

fn block_comment(c: &[char], at: usize) -> usize {
    let mut depth = 0;
    let mut i = at;
    while i < c.len() {
        match (c[i], c.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    c.len()
}

fn quoted(c: &[char], at: usize, quote: char) -> usize {
    let mut i = at + 1;
    while i < c.len() && c[i] != quote {
        i += if c[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(c.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_texts_are_blank_and_lines_stay() {
        let text = "a // x\nb /* y /* z */ */ c \"q\\\"q\" 'd' '\\'' r#\"x\"y\"# e<'f> br\"\\\" g";
        let code = code(text);
        assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a", "b", "c", "e<'f>", "b", "g"]);
        assert_eq!(code.lines().count(), 2);
    }

    #[test]
    fn an_open_comment_or_text_ends_with_the_file() {
        for text in ["/* x", "\"x", "\"x\\", "r#\"x", "'\\"] {
            assert_eq!(code(text).trim(), "", "{text}");
        }
    }
}
