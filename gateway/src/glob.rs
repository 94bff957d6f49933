//! The one wildcard of configuration and API: `*` stands for any characters, also none.

/// Whether the whole of `text` fits `pattern`.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*').peekable();
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_texts() {
        for (pattern, text, fits) in [
            ("*", "a", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("chat:*", "chat:lobby", true),
            ("chat:*", "news:chat:", false),
            ("*:lobby", "chat:lobby", true),
            ("c*t:*y", "chat:lobby", true),
            ("a*a", "a", false),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }
}
