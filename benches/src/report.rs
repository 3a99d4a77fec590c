//! What a run found: figures for people or for programs, and what failed.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::Path,
};

use serde_json::{Map, Value, json};

use crate::outcome::Outcome;

/// One figure.
#[derive(Debug, Clone)]
struct Figure {
    key: &'static str,
    text: &'static str,
    value: Value,
    unit: String,
}

/// The figures of a run, in the order in which they were found.
#[derive(Debug, Clone)]
pub struct Report {
    bench: &'static str,
    figures: Vec<Figure>,
    settings: Vec<(String, Value)>,
    failures: Vec<String>,
    cautions: Vec<String>,
    outcome: Option<Outcome>,
}

impl Report {
    /// An empty one.
    #[must_use]
    pub const fn new(bench: &'static str) -> Self {
        Self {
            bench,
            figures: Vec::new(),
            settings: Vec::new(),
            failures: Vec::new(),
            cautions: Vec::new(),
            outcome: None,
        }
    }

    /// One of a load scenario, whose shared figures come first.
    #[must_use]
    pub fn of(outcome: Outcome) -> Self {
        let mut report = Self::new(outcome.scenario);
        outcome.tell(&mut report);
        report.outcome = Some(outcome);
        report
    }

    /// The shared figures, where it is of a load scenario.
    #[must_use]
    pub const fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// What failed.
    #[must_use]
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// What makes the figures doubtful although nothing failed.
    #[must_use]
    pub fn cautions(&self) -> &[String] {
        &self.cautions
    }

    /// Its name.
    #[must_use]
    pub const fn bench(&self) -> &'static str {
        self.bench
    }

    /// Adds a figure: its name for programs, what it is for people, its value and unit.
    pub fn figure(&mut self, key: &'static str, text: &'static str, value: impl Into<Value>, unit: &str) {
        self.figures.push(Figure { key, text, value: value.into(), unit: unit.to_owned() });
    }

    /// The value of a figure.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.figures.iter().find(|figure| figure.key == key).map(|figure| &figure.value)
    }

    /// Notes with what it was run.
    pub fn note_setting(&mut self, key: &str, value: impl Into<Value>) {
        let value = value.into();
        if let Some(outcome) = &mut self.outcome {
            outcome.setting(key, value.clone());
        }
        self.setting(key, &value);
    }

    /// Notes with what it was run, for people; programs find it in the outcome.
    pub fn setting(&mut self, key: &str, value: &Value) {
        self.settings.push((key.to_owned(), value.clone()));
    }

    /// Says that something is not as it must be.
    pub fn fail(&mut self, what: impl Into<String>) {
        self.failures.push(what.into());
    }

    /// Says why the figures are doubtful.
    pub fn caution(&mut self, what: impl Into<String>) {
        self.cautions.push(what.into());
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
    pub fn print(&self) -> io::Result<()> {
        print(&self.table())
    }

    /// Writes it for programs: to a file, or to standard output where that is called `-`.
    ///
    /// # Errors
    /// The system's.
    pub fn write_json(&self, path: &Path) -> io::Result<()> {
        let text = format!("{}\n", self.json());
        if path == Path::new("-") { print(&text) } else { fs::write(path, text) }
    }

    fn json(&self) -> Value {
        let figures: Map<String, Value> =
            self.figures.iter().map(|figure| (figure.key.to_owned(), figure.value.clone())).collect();
        let mut keys = self.outcome.as_ref().map(Outcome::json).unwrap_or_default();
        keys.insert("bench".into(), self.bench.into());
        keys.insert("passed".into(), self.passed().into());
        keys.insert("figures".into(), figures.into());
        keys.insert("failures".into(), json!(self.failures));
        keys.insert("cautions".into(), json!(self.cautions));
        keys.into()
    }

    /// The figures as lines for people: what it is, value, unit.
    #[must_use]
    pub fn lines(&self) -> Vec<[String; 3]> {
        let line = |Figure { text, value, unit, .. }: &Figure| [(*text).to_owned(), said(value), unit.clone()];
        self.figures.iter().map(line).collect()
    }

    /// The settings as lines for people.
    #[must_use]
    pub fn settings(&self) -> Vec<[String; 2]> {
        self.settings.iter().map(|(key, value)| [key.clone(), said(value)]).collect()
    }

    fn table(&self) -> String {
        let lines = self.lines();
        let width = lines.iter().map(|[what, ..]| what.chars().count()).max().unwrap_or_default();
        let mut text = format!("{}\n", self.bench);
        for [what, value, unit] in &lines {
            // Writing to a string can't fail.
            _ = writeln!(text, "  {what:width$}  {value:>12} {unit}");
        }
        for [key, value] in self.settings() {
            _ = writeln!(text, "  {key}: {value}");
        }
        for caution in &self.cautions {
            _ = writeln!(text, "  DOUBTFUL: {caution}");
        }
        for failure in &self.failures {
            _ = writeln!(text, "  FAILED: {failure}");
        }
        _ = writeln!(text, "  {}", if self.passed() { "passed" } else { "NOT PASSED" });
        text
    }
}

fn said(value: &Value) -> String {
    match value {
        Value::String(value) if value.is_empty() => "none".into(),
        Value::String(value) => value.clone(),
        Value::Number(number) if number.is_f64() => rounded(number.as_f64().unwrap_or_default()),
        Value::Object(parts) => {
            let parts: Vec<_> = parts.iter().map(|(key, value)| format!("{key} {}", said(value))).collect();
            parts.join(", ")
        }
        other => other.to_string(),
    }
}

/// Whole where it is whole or large; four digits otherwise, as far as thousandths.
fn rounded(value: f64) -> String {
    let decimals = match value.abs() {
        _ if value.fract() == 0.0 => 0,
        size if size >= 1_000.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 10.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
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
        assert!(report.passed() && report.table().contains("41.25 us") && report.table().ends_with("passed\n"));
        report.fail("one was lost");
        assert!(report.table().contains("FAILED: one was lost"));
        let json = report.json();
        assert_eq!(json["figures"]["cpu"], 41.25);
        assert_eq!((&json["passed"], &json["failures"][0]), (&json!(false), &json!("one was lost")));
    }

    #[test]
    fn what_is_doubtful_is_said_and_fails_nothing() {
        let mut report = Report::new("direct");
        report.caution("others were busy");
        assert!(report.passed() && report.table().contains("DOUBTFUL: others were busy"));
        assert_eq!(report.json()["cautions"][0], "others were busy");
    }

    #[test]
    fn figures_have_as_many_digits_as_they_are_worth() {
        let all = [(193.0, "193"), (5770.374, "5770"), (126.04, "126.0"), (19.599, "19.60"), (1.0214, "1.021")];
        for (value, text) in all {
            assert_eq!(rounded(value), text);
        }
        assert_eq!(said(&json!({"p50": 7.047, "max": 126.0})), "max 126, p50 7.047");
        assert_eq!(said(&json!("")), "none");
    }
}
