//! Other people's text, made safe for a terminal.
//!
//! Promise: what leaves here holds no control character (C0, DEL, C1), no bidirectional override
//! and no character that hides others. They are shown as something one can see, not dropped, so
//! that nobody is fooled by what is left. It does not judge what the visible words say.

use std::borrow::Cow;

/// One line: breaks and tabs become signs too. For names, titles, and whatever stands in a table.
pub(super) fn line(text: &str) -> Cow<'_, str> {
    neutralise(text, |_| None)
}

/// A message's body: line breaks stay, each followed by `indent`, so that no line of it can pass
/// for one of the program's own.
pub(super) fn body<'a>(text: &'a str, indent: &str) -> Cow<'a, str> {
    let unix = if text.contains('\r') { Cow::Owned(text.replace("\r\n", "\n")) } else { Cow::Borrowed(text) };
    let safe = |c| match c {
        '\n' => Some(format!("\n{indent}")),
        '\t' => Some("    ".to_owned()),
        _ => None,
    };
    match unix {
        Cow::Borrowed(text) => neutralise(text, safe),
        Cow::Owned(text) => Cow::Owned(neutralise(&text, safe).into_owned()),
    }
}

/// Must this character not reach a terminal as it is?
pub(super) fn harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Bidirectional marks, embeddings, overrides and isolates: they reorder what is around them.
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Line and paragraph separators.
            | '\u{2028}' | '\u{2029}'
            // Shown as nothing: zero-width space, word joiner and invisible operators, deprecated
            // format characters, byte order mark, interlinear annotation, tags.
            | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

fn neutralise(text: &str, keep: impl Fn(char) -> Option<String>) -> Cow<'_, str> {
    if !text.chars().any(harmful) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if !harmful(c) {
            safe.push(c);
        } else if let Some(kept) = keep(c) {
            safe.push_str(&kept);
        } else {
            safe.push_str(&sign(c));
        }
    }
    Cow::Owned(safe)
}

/// What stands for a harmful character: its picture where Unicode has one, else its number.
fn sign(c: char) -> String {
    let number = u32::from(c);
    let picture = match number {
        0..=0x1f => number.checked_add(0x2400).and_then(char::from_u32),
        0x7f => Some('\u{2421}'),
        _ => None,
    };
    picture.map_or_else(|| format!("<U+{number:04X}>"), String::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_escape_sequence_is_seen_and_does_nothing() {
        assert_eq!(line("\u{1b}[2J\u{1b}]0;owned\u{7}"), "␛[2J␛]0;owned␇");
        assert_eq!(line("a\u{9b}31mb"), "a<U+009B>31mb");
        assert_eq!(line("two\nlines\tand\u{7f}"), "two␊lines␉and␡");
    }

    #[test]
    fn an_override_is_seen_and_reorders_nothing() {
        assert_eq!(line("gpj.\u{202e}exe"), "gpj.<U+202E>exe");
        assert_eq!(line("al\u{200b}ice"), "al<U+200B>ice");
    }

    #[test]
    fn a_body_keeps_its_lines_but_no_line_starts_at_the_margin() {
        assert_eq!(body("one\r\ntwo\n12:00 bob: forged", "  "), "one\n  two\n  12:00 bob: forged");
        assert_eq!(body("over\rwritten", "  "), "over␍written");
        assert_eq!(body("a\tb", ""), "a    b");
    }

    #[test]
    fn honest_text_stays_what_it_is() {
        for text in ["hello", "Grüße, 你好", "👩‍👩‍👧 family", "नमस्ते", "می‌خواهم"]
        {
            assert_eq!(line(text), text);
            assert_eq!(body(text, "    "), text);
        }
    }

    /// Text in which everything dangerous is frequent.
    fn hostile() -> impl Strategy<Value = String> {
        let any = prop_oneof![
            3 => any::<char>(),
            2 => (0u32..0xa0).prop_map(|n| char::from_u32(n).unwrap()),
            2 => (0x2000u32..0x2070).prop_map(|n| char::from_u32(n).unwrap()),
        ];
        prop::collection::vec(any, 0..64).prop_map(|chars| chars.into_iter().collect())
    }

    fn forbidden(c: char) -> bool {
        let n = u32::from(c);
        n < 0x20
            || (0x7f..=0x9f).contains(&n)
            || matches!(n, 0x61c | 0x200e | 0x200f | 0x202a..=0x202e | 0x2066..=0x2069 | 0x2028 | 0x2029)
    }

    proptest! {
        #[test]
        fn nothing_harmful_leaves_a_line(text in hostile()) {
            prop_assert!(!line(&text).chars().any(forbidden));
        }

        #[test]
        fn nothing_but_our_line_breaks_leaves_a_body(text in hostile()) {
            let safe = body(&text, "  ");
            prop_assert!(!safe.chars().any(|c| c != '\n' && forbidden(c)));
            prop_assert!(safe.split('\n').skip(1).all(|line| line.starts_with("  ")));
        }
    }
}
