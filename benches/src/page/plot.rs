//! Lines in a frame, as SVG.

use std::fmt::Write as _;

use super::escaped;

/// Of the picture, and of its frame within it.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 96.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 28.0;

/// One direction.
pub(super) struct Axis {
    pub(super) name: String,
    /// Where marks stand; by default at round numbers from zero.
    pub(super) ticks: Option<Vec<(f64, String)>>,
}

/// A line.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) colour: &'static str,
    pub(super) points: Vec<(f64, f64)>,
}

/// A picture.
pub(super) struct Plot {
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
}

impl Plot {
    /// See the module's text.
    pub(super) fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| line.points.iter());
        let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(0.0_f64, f64::max).max(1e-9);
        let (x_most, y_most) = (most(|point| point.0), most(|point| point.1));
        let y_top = round_up(y_most);
        let at_x = |x: f64| LEFT + (WIDTH - LEFT - RIGHT) * x / x_most;
        let at_y = |y: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y / y_top;
        let mut svg =
            format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n", escaped(&self.title));
        for (value, text) in self.y.marks(y_top) {
            let (y, right) = (at_y(value), WIDTH - RIGHT);
            // Writing to a string can't fail.
            _ = writeln!(svg, "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>");
            _ = writeln!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>", LEFT - 6.0, y + 4.0);
        }
        for (value, text) in self.x.marks(x_most).into_iter().filter(|(value, _)| *value <= x_most) {
            let (x, y) = (at_x(value), HEIGHT - 10.0);
            _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{text}</text>");
        }
        let names = [(WIDTH - RIGHT + 6.0, HEIGHT - 10.0, &self.x.name), (LEFT + 4.0, TOP + 14.0, &self.y.name)];
        for (x, y, name) in names {
            _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\">{}</text>", escaped(name));
        }
        let mut legend = TOP + 10.0;
        for Line { name, colour, points } in &self.lines {
            let path: Vec<_> = points.iter().map(|(x, y)| format!("{:.1},{:.1}", at_x(*x), at_y(*y))).collect();
            let path = path.join(" ");
            _ = writeln!(svg, "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{path}\"/>");
            if !name.is_empty() {
                let x = WIDTH - RIGHT + 6.0;
                _ = writeln!(svg, "<text x=\"{x}\" y=\"{legend}\" style=\"fill:{colour}\">{}</text>", escaped(name));
                legend += 18.0;
            }
        }
        svg.push_str("</svg>");
        svg
    }
}

impl Axis {
    fn marks(&self, most: f64) -> Vec<(f64, String)> {
        if let Some(ticks) = &self.ticks {
            return ticks.clone();
        }
        let step = round_up(most) / 4.0;
        let text = |value: f64| if step >= 1.0 { format!("{value:.0}") } else { format!("{value:.3}") };
        (0..=4_u32).map(|number| step * f64::from(number)).map(|value| (value, text(value))).collect()
    }
}

/// The next round number.
fn round_up(value: f64) -> f64 {
    let scale = 10_f64.powf(value.max(1e-9).log10().floor());
    let steps = [1.0, 2.0, 4.0, 5.0, 8.0, 10.0];
    steps.iter().map(|step| step * scale).find(|round| *round >= value).unwrap_or(10.0 * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_at_round_numbers() {
        for (value, round) in [(0.3, 0.4), (1.0, 1.0), (41.0, 50.0), (79.0, 80.0), (950.0, 1_000.0)] {
            assert!((round_up(value) - round).abs() < 1e-9, "{value} {}", round_up(value));
        }
    }

    #[test]
    fn points_lie_within_the_frame() {
        let axis = |name: &str| Axis { name: name.into(), ticks: None };
        let points = vec![(0.0, 0.0), (10.0, 100.0)];
        let lines = vec![Line { name: "server".into(), colour: "#000", points }];
        let svg = Plot { title: "t".into(), x: axis("s"), y: axis("/s"), lines }.svg();
        let (x0, y0) = (LEFT, HEIGHT - BOTTOM);
        assert!(svg.contains(&format!("{x0:.1},{y0:.1} {:.1},{TOP:.1}", WIDTH - RIGHT)), "{svg}");
        assert!(svg.contains(">server<") && svg.contains(">100<"));
    }
}
