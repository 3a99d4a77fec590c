//! Emoji by name, as people know them from elsewhere: `:thumbsup:`.

/// Names and what they stand for, in order of the names.
const NAMES: [(&str, &str); 100] = [
    ("100", "💯"),
    ("angry", "😠"),
    ("apple", "🍎"),
    ("balloon", "🎈"),
    ("beer", "🍺"),
    ("bell", "🔔"),
    ("bike", "🚲"),
    ("bird", "🐦"),
    ("blush", "😊"),
    ("book", "📖"),
    ("boom", "💥"),
    ("bread", "🍞"),
    ("bug", "🐛"),
    ("bulb", "💡"),
    ("bus", "🚌"),
    ("cake", "🍰"),
    ("calendar", "📅"),
    ("camera", "📷"),
    ("car", "🚗"),
    ("cat", "🐱"),
    ("check", "✅"),
    ("clap", "👏"),
    ("clock", "🕐"),
    ("cloud", "☁️"),
    ("coffee", "☕"),
    ("confused", "😕"),
    ("cool", "😎"),
    ("cry", "😢"),
    ("crossed_fingers", "🤞"),
    ("dog", "🐶"),
    ("eyes", "👀"),
    ("facepalm", "🤦"),
    ("fire", "🔥"),
    ("fish", "🐟"),
    ("flower", "🌸"),
    ("ghost", "👻"),
    ("gift", "🎁"),
    ("grin", "😁"),
    ("guitar", "🎸"),
    ("handshake", "🤝"),
    ("heart", "❤️"),
    ("heart_eyes", "😍"),
    ("house", "🏠"),
    ("hug", "🤗"),
    ("hundred", "💯"),
    ("joy", "😂"),
    ("key", "🔑"),
    ("kiss", "😘"),
    ("laughing", "😆"),
    ("lock", "🔒"),
    ("mail", "📧"),
    ("medal", "🏅"),
    ("moon", "🌙"),
    ("mountain", "⛰️"),
    ("muscle", "💪"),
    ("music", "🎵"),
    ("neutral", "😐"),
    ("no", "❌"),
    ("ok", "👌"),
    ("open_mouth", "😮"),
    ("package", "📦"),
    ("party", "🥳"),
    ("pencil", "✏️"),
    ("phone", "📞"),
    ("pin", "📌"),
    ("pizza", "🍕"),
    ("plane", "✈️"),
    ("plus", "➕"),
    ("point_up", "☝️"),
    ("pray", "🙏"),
    ("question", "❓"),
    ("rage", "😡"),
    ("rain", "🌧️"),
    ("rainbow", "🌈"),
    ("rocket", "🚀"),
    ("rofl", "🤣"),
    ("sad", "😞"),
    ("scream", "😱"),
    ("see_no_evil", "🙈"),
    ("shrug", "🤷"),
    ("sleep", "😴"),
    ("smile", "😄"),
    ("snow", "❄️"),
    ("sob", "😭"),
    ("sparkles", "✨"),
    ("star", "⭐"),
    ("sun", "☀️"),
    ("sweat_smile", "😅"),
    ("tada", "🎉"),
    ("thinking", "🤔"),
    ("thumbsdown", "👎"),
    ("thumbsup", "👍"),
    ("tree", "🌳"),
    ("trophy", "🏆"),
    ("umbrella", "☂️"),
    ("warning", "⚠️"),
    ("wave", "👋"),
    ("wine", "🍷"),
    ("wink", "😉"),
    ("zap", "⚡"),
];

/// What a name stands for.
pub(super) fn named(name: &str) -> Option<&'static str> {
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, emoji)| *emoji)
}

/// Those whose names begin so.
pub(super) fn beginning(name: &str) -> impl Iterator<Item = &'static str> {
    NAMES.iter().filter(move |(known, _)| known.starts_with(name)).map(|(_, emoji)| *emoji)
}

#[cfg(test)]
mod tests {
    use unicode_segmentation::UnicodeSegmentation;

    use super::*;

    #[test]
    fn every_name_is_one_sign() {
        for (name, emoji) in NAMES {
            assert_eq!(emoji.graphemes(true).count(), 1, "{name}");
            assert!(name.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_')), "{name}");
        }
        assert_eq!(named("thumbsup"), Some("👍"));
        assert_eq!(named("thumbs"), None);
        assert_eq!(beginning("thumbs").collect::<String>(), "👎👍");
    }
}
