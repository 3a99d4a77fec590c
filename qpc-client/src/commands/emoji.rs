//! What this program sends as a reaction: one emoji. What comes from others is shown whatever it is, made safe.

use qpc_proto::limits::EMOJI_MAX;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Is this one sign that is no letter, digit or control?
pub(super) fn is_emoji(text: &str) -> bool {
    let words = |c: char| c.is_alphanumeric() || c.is_control() || c.is_whitespace();
    text.len() <= EMOJI_MAX && text.width() > 0 && text.graphemes(true).count() == 1 && !text.chars().any(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emoji_is_one_sign_and_no_words() {
        for emoji in ["👍", "❤️", "👍🏽", "👩‍👩‍👧", "🇩🇪", "✓"] {
            assert!(is_emoji(emoji), "{emoji}");
        }
        for other in ["", "a", "1", "ok", "👍👍", " ", "\u{7}", "\u{1b}[1m", "\u{200b}", "你"] {
            assert!(!is_emoji(other), "{other:?}");
        }
        assert!(!is_emoji(&format!("👍{}", "\u{fe0f}".repeat(EMOJI_MAX))));
    }
}
