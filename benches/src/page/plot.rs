//! Lines in a frame, as SVG, with a title and a key around it as HTML.

use std::fmt::Write as _;

use super::escaped;

/// Of the picture, and of its frame within it.
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 38.0;
/// About so many marks on an axis.
const MARKS_X: f64 = 6.0;
const MARKS_Y: f64 = 4.0;

/// The horizontal direction.
pub(super) struct Axis {
    pub(super) name: &'static str,
    /// Where marks stand; by default at round numbers from zero.
    pub(super) ticks: Option<Vec<(f64, String)>>,
}

/// A line.
pub(super) struct Line {
    pub(super) name: &'static str,
    /// A class of the page's style.
    pub(super) colour: &'static str,
    pub(super) points: Vec<(f64, f64)>,
}

/// A picture.
pub(super) struct Plot {
    /// With the unit of the vertical direction.
    pub(super) title: String,
    pub(super) caption: String,
    pub(super) x: Axis,
    /// What lies outside is shaded.
    pub(super) measured: Option<(f64, f64)>,
    pub(super) lines: Vec<Line>,
}

impl Plot {
    /// Whether a line is anywhere but on the ground. One point is none.
    pub(super) fn shows_something(&self) -> bool {
        self.lines.iter().any(|line| line.points.len() > 1 && line.points.iter().any(|(_, y)| *y > 0.0))
    }

    /// See the module's text.
    pub(super) fn html(&self) -> String {
        let mut html = format!("<h2>{}</h2>\n", escaped(&self.title));
        // Writing to a string can't fail.
        if !self.caption.is_empty() {
            _ = writeln!(html, "<p class=\"faint\">{}</p>", escaped(&self.caption));
        }
        let named = self.lines.iter().filter(|line| !line.name.is_empty());
        let key: String =
            named.map(|line| format!("<b class=\"{}\">{}</b>", line.colour, escaped(line.name))).collect();
        if !key.is_empty() {
            _ = writeln!(html, "<p class=\"key\">{key}</p>");
        }
        html.push_str(&self.svg());
        html
    }

    fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| line.points.iter());
        let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(0.0_f64, f64::max).max(1e-9);
        let x_most = most(|point| point.0);
        let y_marks = marks(most(|point| point.1), MARKS_Y, true);
        let y_top = y_marks.last().map_or(1.0, |(value, _)| *value);
        let (right, ground) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let at_x = |x: f64| LEFT + (right - LEFT) * (x / x_most).clamp(0.0, 1.0);
        let at_y = |y: f64| ground - (ground - TOP) * (y / y_top).clamp(0.0, 1.0);
        let mut svg =
            format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n", escaped(&self.title));
        if let Some((from, upto)) = self.measured {
            for (x, width) in [(LEFT, at_x(from) - LEFT), (at_x(upto), right - at_x(upto))] {
                let height = ground - TOP;
                _ = writeln!(
                    svg,
                    "<rect class=\"out\" x=\"{x:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{height}\"/>"
                );
            }
        }
        for (value, text) in y_marks {
            let y = at_y(value);
            _ = writeln!(svg, "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>");
            _ = writeln!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>", LEFT - 5.0, y + 3.5);
        }
        let x_marks = self.x.ticks.clone().unwrap_or_else(|| marks(x_most, MARKS_X, false));
        for (value, text) in x_marks.into_iter().filter(|(value, _)| *value <= x_most) {
            let x = at_x(value);
            _ = writeln!(svg, "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{ground}\"/>");
            _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{text}</text>", ground + 14.0);
        }
        let (middle, low) = (f64::midpoint(LEFT, right), HEIGHT - 6.0);
        _ = writeln!(svg, "<text x=\"{middle}\" y=\"{low}\" text-anchor=\"middle\">{}</text>", escaped(self.x.name));
        for Line { colour, points, .. } in &self.lines {
            let path: Vec<_> = points.iter().map(|(x, y)| format!("{:.1},{:.1}", at_x(*x), at_y(*y))).collect();
            _ = writeln!(svg, "<polyline class=\"{colour}\" points=\"{}\"/>", path.join(" "));
        }
        svg.push_str("</svg>");
        svg
    }
}

/// Round numbers from zero, about so many; the last one at or below the most, or `beyond` it.
fn marks(most: f64, about: f64, beyond: bool) -> Vec<(f64, String)> {
    let scale = 10_f64.powf((most / about).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    let step = steps.iter().map(|step| step * scale).find(|step| step * about >= most).unwrap_or(10.0 * scale);
    let decimals = (0..9_u8).find(|decimals| step * 10_f64.powi((*decimals).into()) >= 0.999).unwrap_or(9);
    let text = |value: f64| format!("{value:.*}", usize::from(decimals));
    let end = if beyond { (most / step - 1e-9).ceil() } else { (most / step + 1e-9).floor() };
    (0..=20_u32)
        .map(f64::from)
        .take_while(|number| *number <= end)
        .map(|number| (number * step, text(number * step)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(most: f64, about: f64, beyond: bool) -> Vec<String> {
        marks(most, about, beyond).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn marks_are_round_and_say_what_they_stand_for() {
        assert_eq!(texts(41.0, 4.0, true), ["0", "20", "40", "60"]);
        assert_eq!(texts(4.6, 4.0, true), ["0", "2", "4", "6"]);
        assert_eq!(texts(0.3, 4.0, true), ["0.0", "0.1", "0.2", "0.3"]);
        assert_eq!(texts(18.9, 6.0, false), ["0", "5", "10", "15"]);
        assert_eq!(texts(0.013, 4.0, true), ["0.000", "0.005", "0.010", "0.015"]);
        for most in [1e-9, 0.07, 1.0, 99.9, 100.0, 101.0, 348_000.0] {
            let marks = marks(most, 4.0, true);
            assert!(marks.last().unwrap().0 >= most * 0.999 && (2..=6).contains(&marks.len()), "{most} {marks:?}");
            assert!(marks.iter().all(|(value, text)| (text.parse::<f64>().unwrap() - value).abs() < 1e-6), "{marks:?}");
        }
    }

    #[test]
    fn points_lie_within_the_frame() {
        let points = vec![(0.0, 0.0), (10.0, 100.0)];
        let lines = vec![Line { name: "server", colour: "red", points }];
        let x = Axis { name: "seconds", ticks: None };
        let plot = Plot { title: "t".into(), caption: String::new(), x, measured: Some((2.0, 20.0)), lines };
        let (html, ground) = (plot.html(), HEIGHT - BOTTOM);
        assert!(html.contains(&format!("{LEFT:.1},{ground:.1} {:.1},{TOP:.1}", WIDTH - RIGHT)), "{html}");
        assert!(html.contains(">server<") && html.contains(">100<") && html.contains(">seconds<"));
        // Nothing is shaded beyond the frame.
        assert!(html.contains("width=\"84.0\"") && html.contains("width=\"0.0\""), "{html}");
        let with = |points: Vec<(f64, f64)>| {
            let lines = vec![Line { name: "", colour: "red", points }];
            let x = Axis { name: "seconds", ticks: None };
            Plot { title: "t".into(), caption: String::new(), x, measured: None, lines }.shows_something()
        };
        assert!(plot.shows_something() && !with(vec![(1.0, 5.0)]) && !with(vec![(1.0, 0.0), (2.0, 0.0)]));
    }
}
