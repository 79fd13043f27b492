//! What programs and people say, made fit to show to people.

/// At most `limit` bytes of `text`, cut between characters, on one line and without characters that steer a terminal or
/// reorder what is read. Where something was cut off, it ends in `…`.
pub fn clean(text: &str, limit: usize) -> String {
    const ELLIPSIS: &str = "…";
    let text = text.trim_matches(|character: char| character.is_whitespace() || steers(character));
    let mut cleaned = String::with_capacity(text.len().min(limit));
    for character in text.chars() {
        let character = if steers(character) { ' ' } else { character };
        if cleaned.len() + character.len_utf8() > limit {
            while cleaned.len() + ELLIPSIS.len() > limit && cleaned.pop().is_some() {}
            cleaned.push_str(ELLIPSIS);
            break;
        }
        cleaned.push(character);
    }
    cleaned
}

/// Control characters, line and paragraph separators, marks that change the direction of text.
fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn text_is_cut_between_characters_and_says_so() {
        assert_eq!(clean("plain", 5), "plain");
        assert_eq!(clean("abcdefgh", 6), "abc…");
        assert_eq!(clean(&"ä".repeat(600), 1_024).len(), 1_023);
        assert!(clean(&"ä".repeat(600), 1_024).ends_with('…'));
    }

    #[test]
    fn nothing_that_steers_a_terminal_is_left() {
        assert_eq!(clean("a\u{1b}[31mb\nc\u{202e}d\u{0}", 100), "a [31mb c d");
    }
}
