//! What a run found: figures for people or for programs, and what failed.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use serde_json::{Map, Value, json};

/// One figure.
#[derive(Debug, Clone)]
struct Figure {
    key: &'static str,
    text: &'static str,
    value: Value,
    unit: &'static str,
}

/// The figures of a run, in the order in which they were found.
#[derive(Debug, Clone)]
pub struct Report {
    bench: &'static str,
    figures: Vec<Figure>,
    failures: Vec<String>,
}

impl Report {
    /// An empty one.
    #[must_use]
    pub const fn new(bench: &'static str) -> Self {
        Self { bench, figures: Vec::new(), failures: Vec::new() }
    }

    /// Adds a figure: its name for programs, what it is for people, its value and unit.
    pub fn figure(&mut self, key: &'static str, text: &'static str, value: impl Into<Value>, unit: &'static str) {
        self.figures.push(Figure { key, text, value: value.into(), unit });
    }

    /// Says that something is not as it must be.
    pub fn fail(&mut self, what: impl Into<String>) {
        self.failures.push(what.into());
    }

    /// Whether nothing failed.
    #[must_use]
    pub const fn passed(&self) -> bool {
        self.failures.is_empty()
    }

    /// Writes it to standard output.
    ///
    /// # Errors
    /// The system's.
    pub fn print(&self, as_json: bool) -> io::Result<()> {
        let text = if as_json { format!("{}\n", self.json()) } else { self.table() };
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    fn json(&self) -> Value {
        let figures: Map<String, Value> =
            self.figures.iter().map(|figure| (figure.key.to_owned(), figure.value.clone())).collect();
        json!({ "bench": self.bench, "passed": self.passed(), "figures": figures, "failures": self.failures })
    }

    fn table(&self) -> String {
        let width = self.figures.iter().map(|figure| figure.text.chars().count()).max().unwrap_or_default();
        let mut text = format!("{}\n", self.bench);
        for Figure { text: what, value, unit, .. } in &self.figures {
            let value = match value {
                Value::String(value) => value.clone(),
                Value::Number(number) if number.is_f64() => format!("{:.3}", number.as_f64().unwrap_or_default()),
                other => other.to_string(),
            };
            // Writing to a string can't fail.
            _ = writeln!(text, "  {what:width$}  {value:>12} {unit}");
        }
        for failure in &self.failures {
            _ = writeln!(text, "  FAILED: {failure}");
        }
        _ = writeln!(text, "  {}", if self.passed() { "passed" } else { "NOT PASSED" });
        text
    }
}

/// A line about what goes on, on standard error.
pub fn note(line: &str) {
    // Nowhere is left to say that standard error is closed.
    _ = writeln!(io::stderr().lock(), "qpc-bench: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_and_programs_are_told_the_same() {
        let mut report = Report::new("direct");
        report.figure("messages", "messages sent", 20, "");
        report.figure("cpu", "server CPU per message", 41.25, "us");
        assert!(report.passed() && report.table().contains("41.250 us") && report.table().ends_with("passed\n"));
        report.fail("one was lost");
        assert!(report.table().contains("FAILED: one was lost"));
        let json = report.json();
        assert_eq!(json["figures"]["cpu"], 41.25);
        assert_eq!((&json["passed"], &json["failures"][0]), (&json!(false), &json!("one was lost")));
    }
}
