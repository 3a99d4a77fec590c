//! A group's picture: bytes that say by themselves what they are. Nobody here decodes them further, so that nobody's
//! picture is a way in.

use qpc_proto::limits::GROUP_PICTURE_MAX;
use serde::{Deserialize, Serialize};

/// A picture as it was given, or none.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Picture(pub Vec<u8>);

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({} bytes)", self.0.len())
    }
}

/// What a picture is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PictureFormat {
    /// PNG.
    #[serde(rename = "image/png")]
    Png,
    /// JPEG.
    #[serde(rename = "image/jpeg")]
    Jpeg,
    /// WebP.
    #[serde(rename = "image/webp")]
    Webp,
}

impl PictureFormat {
    /// What these bytes begin as; `None` where it is none of the three, or longer than a group's picture may be.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > GROUP_PICTURE_MAX {
            return None;
        }
        // RFC 2083 section 12.12; ISO 10918-1 (SOI and the marker that follows); RFC 9649 section 2.4.
        if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            Some(Self::Png)
        } else if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
            Some(Self::Jpeg)
        } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
            Some(Self::Webp)
        } else {
            None
        }
    }

    /// The word for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::Webp => "WebP",
        }
    }
}

/// The picture that a group has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPicture {
    /// The group's title.
    pub group: String,
    /// What it is.
    pub format: PictureFormat,
    /// It.
    pub picture: Picture,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_says_itself_what_it_is() {
        for (bytes, format) in [
            (&b"\x89PNG\r\n\x1a\nrest"[..], Some(PictureFormat::Png)),
            (b"\xff\xd8\xff\xe0rest", Some(PictureFormat::Jpeg)),
            (b"RIFF\x10\0\0\0WEBPVP8 ", Some(PictureFormat::Webp)),
            (b"RIFF\x10\0\0\0WAVEfmt ", None),
            (b"RIFF", None),
            (b"GIF89a", None),
            (b"<svg onload=alert(1)>", None),
            (b"\x89PNG", None),
            (b"", None),
        ] {
            assert_eq!(PictureFormat::of(bytes), format, "{bytes:?}");
        }
        let mut long = b"\x89PNG\r\n\x1a\n".to_vec();
        long.resize(GROUP_PICTURE_MAX, 0);
        assert_eq!(PictureFormat::of(&long), Some(PictureFormat::Png));
        long.push(0);
        assert_eq!(PictureFormat::of(&long), None);
    }

    #[test]
    fn debug_does_not_print_it() {
        assert_eq!(format!("{:?}", Picture(vec![1, 2])), "Picture(2 bytes)");
    }
}
