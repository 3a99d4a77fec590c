//! Names of files that others sent: nothing in them decides where a file goes, or what it replaces.

use qpc_proto::limits::FILE_NAME_MAX;

/// For a file whose name has nothing usable in it.
const NAMELESS: &str = "file";
/// Longest name that is made here, in bytes: with what is added to one that is taken, file systems take it.
const SAFE_MAX: usize = 200;
/// Longest ending that is kept when a name is cut, in bytes.
const ENDING_MAX: usize = 16;

/// A name under which a file may be put into a directory: the last component, without characters that control
/// something, that separate or hide, no leading dot, no name that a system reserves, and not long.
pub(crate) fn safe(told: &str) -> String {
    let last = told.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = last.chars().map(|c| if is_harmful(c) { '_' } else { c }).collect();
    let blank = |c: char| c == '.' || c.is_whitespace();
    let mut short = shorten(clean.trim_matches(blank));
    short.truncate(short.trim_end_matches(blank).len());
    if short.is_empty() {
        return NAMELESS.to_owned();
    }
    if is_reserved(&short) { format!("_{short}") } else { short }
}

/// The same name with a number, for one that is taken.
pub(crate) fn numbered(name: &str, number: u32) -> String {
    let (stem, ending) = split(name);
    format!("{stem} ({number}){ending}")
}

/// How a sender's own file is called in the message: its last component, as far as it may be long.
pub(crate) fn for_message(name: &str) -> String {
    let mut name = name.to_owned();
    while name.len() > FILE_NAME_MAX {
        name.pop();
    }
    name
}

fn split(name: &str) -> (&str, &str) {
    match name.rfind('.').filter(|at| *at > 0 && name.len().saturating_sub(*at) <= ENDING_MAX) {
        Some(at) => name.split_at_checked(at).unwrap_or((name, "")),
        None => (name, ""),
    }
}

fn shorten(name: &str) -> String {
    if name.len() <= SAFE_MAX {
        return name.to_owned();
    }
    let (stem, ending) = split(name);
    let most = SAFE_MAX.saturating_sub(ending.len());
    let mut short: String = stem.to_owned();
    while short.len() > most {
        short.pop();
    }
    short + ending
}

/// Control and format characters (which turn text around or hide it), and what some system gives a meaning.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Devices of Windows, whose names can't be files there with any ending.
fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    match stem.as_str() {
        "con" | "prn" | "aux" | "nul" => true,
        port => {
            let number = port.strip_prefix("com").or_else(|| port.strip_prefix("lpt"));
            number.is_some_and(|number| number.len() == 1 && number.chars().all(|c| c.is_ascii_digit()))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_from_others_is_a_name_and_nothing_else() {
        for (told, name) in [
            ("photo.jpg", "photo.jpg"),
            ("Überblick 2.pdf", "Überblick 2.pdf"),
            ("../../etc/passwd", "passwd"),
            ("/etc/passwd", "passwd"),
            ("C:\\Windows\\system.ini", "system.ini"),
            ("..", "file"),
            (".", "file"),
            ("", "file"),
            ("a/", "file"),
            ("...", "file"),
            (".bashrc", "bashrc"),
            (" . .hidden", "hidden"),
            ("a\0b", "a_b"),
            ("a\nb\u{1b}[2J", "a_b_[2J"),
            ("cod\u{202e}gpj.exe", "cod_gpj.exe"),
            ("nul", "_nul"),
            ("COM1.txt", "_COM1.txt"),
            ("company.txt", "company.txt"),
            ("name. ", "name"),
        ] {
            assert_eq!(safe(told), name, "{told:?}");
        }
        let long = safe(&format!("{}.tar.gz", "ä".repeat(300)));
        assert!(long.len() <= SAFE_MAX && long.ends_with(".gz"), "{long}");
    }

    #[test]
    fn a_taken_name_gets_a_number_before_its_ending() {
        assert_eq!(numbered("photo.jpg", 1), "photo (1).jpg");
        assert_eq!(numbered("README", 12), "README (12)");
    }

    proptest! {
        #[test]
        fn no_name_leaves_its_directory(told in any::<String>()) {
            let name = safe(&told);
            prop_assert!(!name.is_empty() && name.len() <= SAFE_MAX.saturating_add(1));
            prop_assert!(!name.starts_with('.') && !name.contains(['/', '\0', '\\']));
            prop_assert_eq!(std::path::Path::new(&name).components().count(), 1);
            prop_assert_eq!(safe(&name), name, "once more is the same");
        }
    }
}
