//! A QR code in a terminal: two modules above each other are one character.
//!
//! With colours it is black on white, whatever the terminal's own are. Without, what is light is drawn and what is dark
//! is left out: right on a dark terminal, and inverted, which not every reader takes, on a light one.

use qrcode::{EcLevel, QrCode, QrResult, Version, bits::Bits, render::unicode::Dense1x2};

use crate::cli::screen::Paint;

/// A drawn code.
pub(super) struct Drawn {
    pub(super) lines: Vec<String>,
    /// Columns of every line.
    pub(super) width: usize,
}

/// Draws a verification code, or another text of capital letters and digits that is no longer; of others nothing.
pub(super) fn draw(text: &str, paint: Paint) -> Drawn {
    let alphanumeric = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b'-' | b':'));
    let code = alphanumeric.then(|| encode(text).ok()).flatten();
    let Some(code) = code else { return Drawn { lines: Vec::new(), width: 0 } };
    let (dark, light) = if paint.0 { (Dense1x2::Dark, Dense1x2::Light) } else { (Dense1x2::Light, Dense1x2::Dark) };
    let drawn = code.render::<Dense1x2>().dark_color(dark).light_color(light).module_dimensions(1, 1).build();
    let width = drawn.lines().next().map_or(0, |line| line.chars().count());
    Drawn { lines: drawn.lines().map(|line| paint.paper(line)).collect(), width }
}

/// All in alphanumeric mode: what the encoder chooses by itself is now and then a size larger.
fn encode(text: &str) -> QrResult<QrCode> {
    let mut bits = Bits::new(Version::Normal(3));
    bits.push_alphanumeric_data(text.as_bytes())?;
    bits.push_terminator(EcLevel::L)?;
    QrCode::with_bits(bits, EcLevel::L)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "QPC-VERIFY:1:ACC116E90560BF2EFE5E3BEB31B164EA5DAC31B9E03473160AD3A2F511C93EB4";

    /// The modules of a drawn code, row by row, quiet zone included: is it dark?
    fn dark(lines: &[String], drawn_is_dark: bool) -> Vec<Vec<bool>> {
        let halves = |line: &String| {
            let half = |upper: bool| {
                let drawn = line.chars().map(move |c| c == '█' || c == if upper { '▀' } else { '▄' });
                drawn.map(|drawn| drawn == drawn_is_dark).collect::<Vec<_>>()
            };
            [half(true), half(false)]
        };
        lines.iter().flat_map(halves).collect()
    }

    #[test]
    fn a_code_is_drawn_as_it_is_encoded_painted_or_not() {
        let wanted: Vec<bool> =
            encode(CODE).unwrap().to_colors().into_iter().map(|c| c == qrcode::Color::Dark).collect();
        let plain = draw(CODE, Paint(false));
        assert_eq!((plain.width, plain.lines.len()), (37, 19), "version 3, with a quiet zone of four modules");
        let painted = draw(CODE, Paint(true));
        let stripped: Vec<String> = painted
            .lines
            .iter()
            .map(|line| {
                assert!(line.starts_with("\u{1b}[38;5;16m\u{1b}[48;5;231m") && line.ends_with("\u{1b}[0m"), "{line:?}");
                line.chars().filter(|c| " ▀▄█".contains(*c)).collect()
            })
            .collect();
        for modules in [dark(&plain.lines, false), dark(&stripped, true)] {
            let inner = modules.iter().skip(4).take(29).map(|row| row.iter().copied().skip(4).take(29));
            let drawn: Vec<bool> = inner.flatten().collect();
            assert_eq!(drawn, wanted);
            assert!(modules.iter().take(4).flatten().all(|dark| !dark), "the quiet zone is light");
        }
    }

    #[test]
    fn what_no_code_holds_is_not_drawn() {
        for text in ["X".repeat(78), "x".to_owned(), "\u{1b}[2J".to_owned()] {
            assert!(draw(&text, Paint(false)).lines.is_empty(), "{text:?}");
        }
    }
}
