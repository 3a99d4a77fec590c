//! How things look: attributes and the sixteen colours that every terminal's owner has chosen for themselves, so that light and
//! dark backgrounds both work. Without colours (`NO_COLOR`) attributes alone tell things apart.

use ratatui::style::{Color, Modifier, Style};

/// The colours of names: not red, which is for what must not be missed.
const NAMES: [Color; 5] = [Color::Cyan, Color::Green, Color::Magenta, Color::Blue, Color::Yellow];

/// The styles of a screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Theme {
    /// Are there colours?
    pub(super) colours: bool,
}

impl Theme {
    fn coloured(self, style: Style, colour: Color) -> Style {
        if self.colours { style.fg(colour) } else { style }
    }

    /// For what stands beside the words.
    pub(super) const fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// For titles.
    pub(super) const fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// For what must not be missed.
    pub(super) fn loud(self) -> Style {
        self.coloured(self.bold(), Color::Red)
    }

    /// For what is as it should be.
    pub(super) fn good(self) -> Style {
        self.coloured(Style::new(), Color::Green)
    }

    /// For what is new.
    pub(super) fn fresh(self) -> Style {
        self.coloured(self.bold(), Color::Yellow)
    }

    /// For a name in a text; this account's own stands out.
    pub(super) fn mention(self, own: bool) -> Style {
        if own { self.fresh().add_modifier(Modifier::REVERSED) } else { self.bold() }
    }

    /// For a code that is scanned: its light parts are drawn, and what is behind them is dark, whatever the terminal's colours.
    pub(super) const fn code(self) -> Style {
        if self.colours { Style::new().fg(Color::Indexed(231)).bg(Color::Indexed(16)) } else { Style::new() }
    }

    /// For a quote.
    pub(super) const fn quote(self) -> Style {
        Style::new().add_modifier(Modifier::DIM.union(Modifier::ITALIC))
    }

    /// For what the keys act upon.
    pub(super) const fn marked(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// For a sender's name: the same at every start, and on every device.
    pub(super) fn name(self, address: &str) -> Style {
        let sum = address.bytes().fold(5381_u32, |sum, byte| sum.wrapping_mul(33) ^ u32::from(byte));
        let place = usize::try_from(sum).unwrap_or(0).checked_rem(NAMES.len()).unwrap_or(0);
        self.coloured(self.bold(), NAMES.get(place).copied().unwrap_or(Color::Cyan))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_colour_and_without_colours_there_is_none() {
        let theme = Theme { colours: true };
        assert_eq!(theme.name("bob@a.example"), theme.name("bob@a.example"));
        let different: std::collections::HashSet<_> =
            (0..50).map(|n| theme.name(&format!("{n}@a.example")).fg).collect();
        assert_eq!(different.len(), NAMES.len());
        let plain = Theme { colours: false };
        for style in [plain.name("bob"), plain.loud(), plain.good(), plain.fresh(), plain.mention(true)] {
            assert_eq!((style.fg, style.bg), (None, None));
        }
    }
}
