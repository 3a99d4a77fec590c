//! What drawing needs to know beside the state: how names and times are shown to this person, and how things look.

use super::{theme::Theme, thumb::Depth};
use crate::cli::{clock::Clock, render::Render};

/// How a screen looks to one person.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) render: Render,
    pub(super) clock: Clock,
    pub(super) theme: Theme,
    pub(super) depth: Depth,
    /// The account's own address.
    pub(super) me: String,
}
