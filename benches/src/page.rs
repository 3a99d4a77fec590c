//! A result as one page for a browser: figures, settings and plots, with nothing to load besides.

mod plot;

use std::{fmt::Write as _, fs, io, path::Path};

use serde_json::Value;

use self::plot::{Axis, Line, Plot};
use crate::{machine, outcome::Outcome, report::Report, sampler::Sample};

/// Text in pictures grows as they shrink, so that it can be read on a telephone.
const STYLE: &str = "\
:root{color-scheme:light dark;--text:#1b1f24;--page:#fff;--faint:#57606a;--grid:#d0d7de;--out:#eaeef2;\
--bad:#b42318;--good:#1a7f37;--doubt:#7d4e00;--blue:#0969da;--red:#cf222e;--grey:#6e7781;--violet:#8250df}\
@media(prefers-color-scheme:dark){:root{--text:#e6edf3;--page:#0d1117;--faint:#9198a1;--grid:#30363d;--out:#1c2129;\
--bad:#ff7b72;--good:#3fb950;--doubt:#d29922;--blue:#58a6ff;--red:#ff7b72;--grey:#9198a1;--violet:#bc8cff}}\
body{font:15px/1.5 system-ui,sans-serif;max-width:50em;margin:2em auto;padding:0 1em;color:var(--text);\
background:var(--page)}h1{font-size:1.5em}h2{font-size:1.1em;margin:2em 0 0}p{margin:.3em 0}\
table{border-collapse:collapse;margin-top:1em}td{padding:.1em 1em .1em 0;vertical-align:top}td.v{overflow-wrap:anywhere}\
td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}.faint{color:var(--faint)}\
.bad{color:var(--bad);font-weight:600}.good{color:var(--good);font-weight:600}.doubt{color:var(--doubt)}\
svg{display:block;width:100%;height:auto;margin-top:.5em}svg text{font:9px system-ui,sans-serif;fill:var(--faint)}\
.grid{stroke:var(--grid);stroke-width:.6}.out{fill:var(--out)}polyline{fill:none;stroke-width:1.25}\
.blue{color:var(--blue);stroke:var(--blue)}.red{color:var(--red);stroke:var(--red)}\
.grey{color:var(--grey);stroke:var(--grey)}.violet{color:var(--violet);stroke:var(--violet)}\
.key b{display:inline-block;margin-right:1em}@media(max-width:40em){svg text{font-size:14px}}";

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
         {name}</h1>\n<p class=\"faint\">{}</p>\n<p class=\"{class}\">{verdict}</p>\n",
        escaped(&about(report))
    );
    for failure in report.failures() {
        // Writing to a string can't fail.
        _ = writeln!(html, "<p class=\"bad\">{}</p>", escaped(failure));
    }
    for caution in report.cautions() {
        _ = writeln!(html, "<p class=\"doubt\">Doubtful: {}.</p>", escaped(caution));
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
        // A long key may break behind a part of it.
        let key = escaped(&key).replace('_', "_<wbr>");
        _ = writeln!(html, "<tr><td>{key}<td class=\"v\">{}", escaped(&value));
    }
    html.push_str("</table>\n");
    html
}

/// When, where and what.
fn about(report: &Report) -> String {
    let machine = machine::describe();
    let text = |key: &str| machine.get(key).and_then(Value::as_str).unwrap_or("unknown").to_owned();
    let number = |key: &str| machine.get(key).and_then(Value::as_u64).unwrap_or_default();
    let gib = number("memory_bytes") as f64 / f64::from(1 << 30);
    let server = report.outcome().map(|outcome| outcome.server_version.as_str()).unwrap_or_default();
    let parts = [
        jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
        format!("{}, {} cores, {gib:.1} GiB, kernel {}", text("cpu"), number("cores"), text("kernel")),
        concat!("qpc-bench ", env!("CARGO_PKG_VERSION")).to_owned(),
        server.to_owned(),
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

fn plots(html: &mut String, outcome: &Outcome) {
    // A tenth of what took longer is one step to the right.
    let curve: Vec<_> = outcome.curve.iter().map(|(longer, millis)| ((1.0 / longer).log10(), *millis)).collect();
    let percentiles = [(0.5, "50 %"), (0.1, "90 %"), (0.01, "99 %"), (0.001, "99.9 %"), (1e-4, "99.99 %")];
    let percentiles = percentiles.map(|(longer, text): (f64, _)| ((1.0 / longer).log10(), text.to_owned())).to_vec();
    let over_time = |value: fn(&Sample) -> f64| -> Vec<(f64, f64)> {
        outcome.samples.iter().map(|sample| (sample.at_s, value(sample))).collect()
    };
    let line = |name: &'static str, colour: &'static str, points: Vec<(f64, f64)>| Line { name, colour, points };
    let seconds = || Axis { name: "seconds since the load began", ticks: None };
    let how = outcome.settings.get("latency").and_then(Value::as_str).unwrap_or("from beginning to end");
    let shaded = outcome.measured_s.map_or("", |_| "Shaded: before and after what was measured.");
    let all = [
        Plot {
            title: "Latency, in ms".into(),
            caption: format!(
                "{} measured, {how}. The slowest have the most room: it is as far from 90 % to 99 % as from there to \
                 99.9 %.",
                outcome.latency.count
            ),
            x: Axis { name: "share that took at most this long", ticks: Some(percentiles) },
            measured: None,
            lines: vec![line("", "blue", curve)],
        },
        Plot {
            title: format!("Rate, in {} per second", outcome.sampled),
            caption: shaded.into(),
            x: seconds(),
            measured: outcome.measured_s,
            lines: vec![line("", "blue", over_time(|sample| sample.rate_per_s))],
        },
        Plot {
            title: "CPU, in % of one core".into(),
            caption: shaded.into(),
            x: seconds(),
            measured: outcome.measured_s,
            lines: vec![
                line("server", "red", over_time(|sample| sample.server_percent)),
                line("clients (qpc-bench)", "blue", over_time(|sample| sample.bench_percent)),
                line("other processes", "grey", over_time(|sample| sample.others_percent)),
            ],
        },
        Plot {
            title: "Resident memory of the server, in MiB".into(),
            caption: shaded.into(),
            x: seconds(),
            measured: outcome.measured_s,
            lines: vec![line("", "violet", over_time(|sample| sample.rss_bytes as f64 / f64::from(1 << 20)))],
        },
    ];
    for plot in all.iter().filter(|plot| plot.shows_something()) {
        _ = writeln!(html, "{}", plot.html());
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
            sampled: "deliveries",
            measured_s: Some((1.0, 3.0)),
            ..Outcome::default()
        };
        let mut report = Report::of(outcome);
        report.fail("a < b & c");
        report.caution("others were busy");
        let page = page(&report);
        assert_eq!((page.matches("<svg").count(), page.matches("class=\"out\"").count()), (4, 6));
        assert!(
            page.contains("in deliveries per second") && page.contains("others were busy") && page.contains(" cores, ")
        );
        assert!(page.contains("a &lt; b &amp; c") && page.contains("NOT PASSED") && page.contains(">99 %<"));
        assert!(!page.contains("http") && !page.contains("<script") && !page.contains("NaN"), "{page}");
    }
}
