//! A small picture of a file, as cells of two pixels each. It is decoded when a person asks to see it and not before, on a thread
//! of its own, within bounds, as a JPEG alone: nobody's picture is looked into unasked.

use std::{env, ffi::OsString, io::Cursor};

use image::{ImageFormat, ImageReader, Limits, RgbImage, imageops::FilterType};
use qpc_proto::limits::PREVIEW_MAX;
use ratatui::{
    style::{Color, Style},
    text::{Line, Span},
};

/// Longest side of what is decoded, in pixels: previews have 256.
const SIDE_MAX: u32 = 1_024;
/// Memory for decoding one, in bytes.
const DECODE_MAX: u64 = 16 * 1024 * 1024;
/// Columns, and rows of two pixels, of what is shown.
const COLUMNS: u32 = 40;
const ROWS: u32 = 10;
/// Without colours: from dark to light.
const SHADES: [&str; 5] = [" ", "░", "▒", "▓", "█"];

/// How many colours a terminal has for a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// None: shades of one.
    Shades,
    /// The 256 of xterm.
    Indexed,
    /// All.
    True,
}

impl Depth {
    /// What a terminal says of itself.
    pub(super) fn of(colours: bool) -> Self {
        Self::said(colours, |name| env::var_os(name))
    }

    fn said(colours: bool, env: impl Fn(&str) -> Option<OsString>) -> Self {
        let has = |name: &str, what: &[&str]| {
            env(name).is_some_and(|value| what.iter().any(|what| value.to_string_lossy().contains(what)))
        };
        match (colours, has("COLORTERM", &["truecolor", "24bit"]), has("TERM", &["256color"])) {
            (false, ..) => Self::Shades,
            (true, true, _) => Self::True,
            (true, false, true) => Self::Indexed,
            (true, false, false) => Self::Shades,
        }
    }

    fn colour(self, [red, green, blue]: [u8; 3]) -> Color {
        // The cube of six by six by six behind the first sixteen.
        let sixth = |part: u8| u8::try_from(u32::from(part).saturating_mul(5).saturating_add(127) / 255).unwrap_or(5);
        match self {
            Self::True => Color::Rgb(red, green, blue),
            Self::Indexed | Self::Shades => {
                let (red, green, blue) = (sixth(red), sixth(green), sixth(blue));
                let place = red.saturating_mul(36).saturating_add(green.saturating_mul(6)).saturating_add(blue);
                Color::Indexed(place.saturating_add(16))
            }
        }
    }
}

/// A picture that fits a screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Thumb(RgbImage);

impl Thumb {
    /// What these bytes show; `None` where they are no picture, or too large a one.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() || bytes.len() > PREVIEW_MAX {
            return None;
        }
        let mut reader = ImageReader::with_format(Cursor::new(bytes), ImageFormat::Jpeg);
        let mut limits = Limits::default();
        limits.max_image_width = Some(SIDE_MAX);
        limits.max_image_height = Some(SIDE_MAX);
        limits.max_alloc = Some(DECODE_MAX);
        reader.limits(limits);
        let picture = reader.decode().ok()?;
        let small = picture.resize(COLUMNS, ROWS.saturating_mul(2), FilterType::Triangle);
        Some(Self(small.to_rgb8()))
    }

    /// Its rows, if they fit into so many columns.
    pub(super) fn rows(&self, depth: Depth, width: usize) -> Vec<Line<'static>> {
        let (columns, pixels) = self.0.dimensions();
        if usize::try_from(columns).unwrap_or(usize::MAX) > width {
            return Vec::new();
        }
        let pixel = |x: u32, y: u32| self.0.get_pixel_checked(x, y).map(|pixel| pixel.0);
        let row = |y: u32| {
            let cells = (0..columns).map(|x| match (pixel(x, y), pixel(x, y.saturating_add(1)), depth) {
                (Some(upper), lower, Depth::Shades) => shade(upper, lower.unwrap_or(upper)),
                (Some(upper), Some(lower), depth) => {
                    Span::styled("▀", Style::new().fg(depth.colour(upper)).bg(depth.colour(lower)))
                }
                (Some(upper), None, depth) => Span::styled("▀", Style::new().fg(depth.colour(upper))),
                (None, ..) => Span::raw(" "),
            });
            Line::from(cells.collect::<Vec<_>>())
        };
        (0..pixels).step_by(2).map(row).collect()
    }
}

fn shade(upper: [u8; 3], lower: [u8; 3]) -> Span<'static> {
    let sum = upper.iter().chain(&lower).fold(0_usize, |sum, part| sum.saturating_add(usize::from(*part)));
    // Of six parts of 255 each.
    let place = sum.saturating_mul(SHADES.len()) / 1_531;
    Span::raw(SHADES.get(place).copied().unwrap_or("█"))
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    fn jpeg(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let picture =
            RgbImage::from_fn(width, height, |_, y| Rgb(if y < height / 2 { [255, 0, 0] } else { [0, 0, 255] }));
        picture.write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn a_picture_is_cells_of_two_pixels_within_bounds() {
        for (width, height) in [(256, 128), (128, 256), (1, 1), (256, 1)] {
            let rows = Thumb::decode(&jpeg(width, height)).unwrap().rows(Depth::True, 50);
            assert!(!rows.is_empty() && rows.len() <= 10, "{width} {height}: {}", rows.len());
            assert!(rows.iter().all(|row| row.width() <= 40));
        }
        let rows = Thumb::decode(&jpeg(200, 100)).unwrap().rows(Depth::Indexed, 50);
        let first = rows.first().and_then(|row| row.spans.first()).unwrap();
        assert_eq!((first.content.as_ref(), first.style.fg), ("▀", Some(Color::Indexed(196))));
        assert_eq!(rows.last().and_then(|row| row.spans.first()).unwrap().style.bg, Some(Color::Indexed(21)));
        let plain = Thumb::decode(&jpeg(200, 100)).unwrap().rows(Depth::Shades, 50);
        assert!(plain.iter().flat_map(|row| &row.spans).all(|span| span.style == Style::new()));
        assert!(Thumb::decode(&jpeg(200, 100)).unwrap().rows(Depth::True, 10).is_empty());
    }

    #[test]
    fn what_is_no_picture_or_a_huge_one_shows_nothing() {
        assert_eq!(Thumb::decode(b""), None);
        assert_eq!(Thumb::decode(b"\xff\xd8\xff\xe0 not really"), None);
        assert_eq!(Thumb::decode(&vec![0; PREVIEW_MAX + 1]), None);
        let mut bomb = jpeg(8, 8);
        // The height and width of the frame, in its header.
        let at = bomb.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
        bomb[at + 5..at + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
        assert_eq!(Thumb::decode(&bomb), None);
    }

    #[test]
    fn a_terminal_has_the_colours_that_it_says() {
        let said = |colours, term: &str, colorterm: &str| {
            Depth::said(colours, |name| Some(if name == "TERM" { term.into() } else { colorterm.into() }))
        };
        assert_eq!(said(true, "xterm", "truecolor"), Depth::True);
        assert_eq!(said(true, "tmux-256color", ""), Depth::Indexed);
        assert_eq!(said(true, "xterm", ""), Depth::Shades);
        assert_eq!(said(false, "xterm-256color", "truecolor"), Depth::Shades);
    }
}
