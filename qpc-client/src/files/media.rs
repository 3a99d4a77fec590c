//! What kind of file something is, by its first bytes, else by its ending. It is a hint for people: nothing relies on it.

/// Bytes that are looked at.
pub(crate) const LOOK: usize = 16;

const UNKNOWN: &str = "application/octet-stream";

/// First bytes, and what begins with them.
const BEGINNINGS: [(&[u8], &str); 10] = [
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"\xfd7zXZ\0", "application/x-xz"),
    (b"OggS", "application/ogg"),
    (b"fLaC", "audio/flac"),
];

/// Endings; these come first for what lies in a ZIP.
const ENDINGS: [(&str, &str); 18] = [
    ("csv", "text/csv"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("html", "text/html"),
    ("json", "application/json"),
    ("md", "text/markdown"),
    ("mkv", "video/x-matroska"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("ogg", "audio/ogg"),
    ("opus", "audio/ogg"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("txt", "text/plain"),
    ("wav", "audio/wav"),
    ("webm", "video/webm"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
];

/// The media type of a file, by its first [`LOOK`] bytes and its name.
pub(crate) fn media_type(first: &[u8], name: &str) -> &'static str {
    let begins = if first.starts_with(b"RIFF") && first.get(8..12) == Some(b"WEBP") {
        Some("image/webp")
    } else if first.get(4..8) == Some(b"ftyp") {
        Some("video/mp4")
    } else {
        BEGINNINGS.iter().find(|(bytes, _)| first.starts_with(bytes)).map(|(_, media)| *media)
    };
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    let by_name = || ENDINGS.iter().find(|(known, _)| Some(*known) == ending.as_deref()).map(|(_, media)| *media);
    match begins {
        Some("application/zip" | "application/ogg") => by_name().or(begins),
        Some(_) => begins,
        None => by_name(),
    }
    .unwrap_or(UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_count_before_the_name() {
        for (first, name, media) in [
            (&b"\x89PNG\r\n\x1a\n...."[..], "photo.txt", "image/png"),
            (b"RIFF....WEBPVP8 ", "x", "image/webp"),
            (b"....ftypisom", "film", "video/mp4"),
            (b"PK\x03\x04", "letter.docx", ENDINGS[1].1),
            (b"PK\x03\x04", "all.zip", "application/zip"),
            (b"hello", "NOTES.TXT", "text/plain"),
            (b"hello", "notes", UNKNOWN),
            (b"", ".", UNKNOWN),
        ] {
            assert_eq!(media_type(first, name), media, "{name}");
        }
    }
}
