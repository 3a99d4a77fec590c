//! A result as one page for a browser: figures, settings and plots, with nothing to load besides.

mod plot;

use std::{fmt::Write as _, fs, io, path::Path};

use self::plot::{Axis, Line, Plot};
use crate::{outcome::Outcome, report::Report, sampler::Sample};

const STYLE: &str = "\
body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#1b1f24;background:#fff}\
h1{font-size:1.5em}h2{font-size:1.1em;margin-top:2em}table{border-collapse:collapse}\
td{padding:.1em 1em .1em 0;vertical-align:top}td.n{text-align:right;font-variant-numeric:tabular-nums}\
.bad{color:#b42318;font-weight:600}.good{color:#1a7f37;font-weight:600}svg{width:100%;height:auto}\
svg text{font:12px system-ui,sans-serif;fill:#57606a}.grid{stroke:#d0d7de;stroke-width:1}\
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}.grid{stroke:#30363d}svg text{fill:#9198a1}}";

/// Writes the page.
///
/// # Errors
/// The system's.
pub fn write(report: &Report, path: &Path) -> io::Result<()> {
    fs::write(path, page(report))
}

fn page(report: &Report) -> String {
    let name = escaped(report.bench());
    let (class, verdict) = if report.passed() { ("good", "passed") } else { ("bad", "NOT PASSED") };
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width\">\n<title>qpc-bench {name}</title>\n<style>{STYLE}</style>\n<h1>qpc-bench \
         {name}</h1>\n<p class=\"{class}\">{verdict}</p>\n"
    );
    for failure in report.failures() {
        // Writing to a string can't fail.
        _ = writeln!(html, "<p class=\"bad\">{}</p>", escaped(failure));
    }
    html.push_str("<table>\n");
    for [what, value, unit] in report.lines() {
        let (what, value, unit) = (escaped(&what), escaped(&value), escaped(&unit));
        _ = writeln!(html, "<tr><td>{what}<td class=\"n\">{value}<td>{unit}");
    }
    html.push_str("</table>\n");
    if let Some(outcome) = report.outcome() {
        plots(&mut html, outcome);
    }
    html.push_str("<h2>With what it was run</h2>\n<table>\n");
    for [key, value] in report.settings() {
        _ = writeln!(html, "<tr><td>{}<td>{}", escaped(&key), escaped(&value));
    }
    html.push_str("</table>\n");
    html
}

fn plots(html: &mut String, outcome: &Outcome) {
    let curve: Vec<_> = outcome.curve.iter().map(|(longer, millis)| ((1.0 / longer).log10(), *millis)).collect();
    let percentiles =
        [(0.0, "0 %"), (1.0, "90 %"), (2.0, "99 %"), (3.0, "99.9 %"), (4.0, "99.99 %"), (5.0, "99.999 %")];
    let percentiles = percentiles.map(|(at, text)| (at, text.to_owned())).to_vec();
    let over_time = |value: fn(&Sample) -> f64| -> Vec<(f64, f64)> {
        outcome.samples.iter().map(|sample| (sample.at_s, value(sample))).collect()
    };
    let line = |name: &str, colour: &'static str, points: Vec<(f64, f64)>| Line { name: name.into(), colour, points };
    let all = [
        Plot {
            title: "Latency: so many took at most so long".into(),
            x: Axis { name: "of all".into(), ticks: Some(percentiles) },
            y: Axis { name: "ms".into(), ticks: None },
            lines: vec![line("", "#0969da", curve)],
        },
        Plot {
            title: format!("Rate: {} a second", outcome.op),
            x: Axis { name: "s".into(), ticks: None },
            y: Axis { name: "/s".into(), ticks: None },
            lines: vec![line("", "#0969da", over_time(|sample| sample.rate_per_s))],
        },
        Plot {
            title: "CPU".into(),
            x: Axis { name: "s".into(), ticks: None },
            y: Axis { name: "% of a core".into(), ticks: None },
            lines: vec![
                line("server", "#cf222e", over_time(|sample| sample.server_percent)),
                line("clients", "#0969da", over_time(|sample| sample.bench_percent)),
                line("others", "#8c959f", over_time(|sample| sample.others_percent)),
            ],
        },
        Plot {
            title: "Memory of the server".into(),
            x: Axis { name: "s".into(), ticks: None },
            y: Axis { name: "MiB".into(), ticks: None },
            lines: vec![line("", "#8250df", over_time(|sample| sample.rss_bytes as f64 / f64::from(1 << 20)))],
        },
    ];
    for plot in all.iter().filter(|plot| plot.lines.iter().any(|line| !line.points.is_empty())) {
        _ = writeln!(html, "<h2>{}</h2>\n{}", escaped(&plot.title), plot.svg());
    }
}

/// A text as HTML and SVG have it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_figures_and_plots_and_loads_nothing() {
        let sample = |second: u32| Sample {
            at_s: second.into(),
            rate_per_s: 100.0,
            server_percent: 50.0,
            bench_percent: 20.0,
            others_percent: 1.0,
            rss_bytes: 1 << 26,
        };
        let outcome = Outcome {
            scenario: "direct",
            op: "delivery",
            curve: vec![(1.0, 0.5), (0.1, 2.0), (0.01, 9.0)],
            samples: (0..5).map(sample).collect(),
            ..Outcome::default()
        };
        let mut report = Report::of(outcome);
        report.fail("a < b & c");
        let page = page(&report);
        assert_eq!(page.matches("<svg").count(), 4);
        assert!(page.contains("a &lt; b &amp; c") && page.contains("NOT PASSED") && page.contains(">99 %<"));
        assert!(!page.contains("http") && !page.contains("<script") && !page.contains("NaN"), "{page}");
    }
}
