//! The annotated file: every key with its default and what it does. The texts stand in `config/qpc-server.toml` alone and the
//! values in the types alone; here both come together, and a test holds that the file is what comes out.

use super::source::keys;

/// The file as it was when this program was built.
const FILE: &str = include_str!("../../../config/qpc-server.toml");

/// The annotated file with the defaults of today: nothing in it is switched on. A key that the file does not have yet stands at the end,
/// one that there is no longer is left out.
#[must_use]
pub fn annotated() -> String {
    let mut text = String::new();
    let mut section = "";
    let mut shown: Vec<String> = Vec::new();
    for line in FILE.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        }
        let Some((name, example)) = entry(line) else {
            text.push_str(&format!("{line}\n"));
            continue;
        };
        let key = format!("{section}.{name}");
        if let Some((_, default)) = keys().iter().find(|(known, _)| *known == key) {
            text.push_str(&format!(
                "#{name} = {}\n",
                if default.is_null() { example.into() } else { default.to_string() }
            ));
            shown.push(key);
        }
    }
    for (key, default) in keys().iter().filter(|(key, _)| !shown.contains(key)) {
        text.push_str(&format!("\n# A text is missing.\n#{key} = {default}\n"));
    }
    text
}

/// A key that is not switched on, with what stands behind it.
fn entry(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix('#').filter(|rest| !rest.starts_with(' '))?.split_once(" = ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_file_is_what_the_types_give() {
        let now = annotated();
        let other = now.lines().zip(FILE.lines()).find(|(now, then)| now != then);
        assert!(now == FILE, "config/qpc-server.toml is not as the types have it: `make config` (first: {other:?})");
    }

    #[test]
    fn every_key_has_a_text_above_it() {
        let lines: Vec<&str> = FILE.lines().collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| entry(line).is_some()) {
            let above = lines[..at].iter().rev().find(|above| entry(above).is_none() && !above.starts_with('['));
            assert!(above.is_some_and(|above| above.starts_with("# ")), "{line}");
        }
    }
}
