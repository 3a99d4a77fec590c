//! Links into groups, as people make, list and hand them on.

use serde::{Deserialize, Serialize};

/// A link's text: whoever has it may ask to be let in, so it is never printed by accident.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
#[serde(transparent)]
pub struct LinkText(pub String);

impl std::fmt::Debug for LinkText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LinkText(redacted)")
    }
}

/// A link that was made. Nothing keeps its text: it is shown now, or never.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewLink {
    /// To hand on.
    pub link: LinkText,
    /// The rest.
    #[serde(flatten)]
    pub about: GroupLink,
}

/// A link that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupLink {
    /// Its number in this home.
    pub number: u32,
    /// Who made it, `name@domain`.
    pub maker: String,
    /// When it ends, RFC 3339.
    pub expires: String,
    /// How many may come in by it.
    pub uses: u32,
    /// How many still may, as far as this home knows.
    pub uses_left: u32,
}
