//! What drawing needs to know beside the state: how names and times are shown to this person, and how things look.

use super::theme::Theme;
use crate::cli::{clock::Clock, render::Render};

/// How a screen looks to one person.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) render: Render,
    pub(super) clock: Clock,
    pub(super) theme: Theme,
    /// The account's own address.
    pub(super) me: String,
}
