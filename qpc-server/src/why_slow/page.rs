//! One page of metrics in Prometheus' text format, as far as this server writes it.
//!
//! Crates that read it bring a library of regular expressions and a calendar with them; what is needed are names, labels
//! and numbers.

/// A value with its name and labels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: f64,
}

impl Sample {
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| value.as_str())
    }
}

/// Why a page is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// A line that is no sample.
    #[error("line {0} is no metric: {1:?}")]
    Line(usize, String),
    /// Another program's page, or no page of metrics at all.
    #[error("it is not the page of a qpc-server")]
    Foreign,
}

/// All samples of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Page(Vec<Sample>);

impl Page {
    /// Reads it.
    ///
    /// # Errors
    /// [`PageError`].
    pub fn parse(text: &str) -> Result<Self, PageError> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
        let samples = lines
            .map(|(at, line)| {
                sample(line).ok_or_else(|| PageError::Line(at.saturating_add(1), line.chars().take(80).collect()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        if !samples.iter().any(|sample| sample.name == "qpc_build_info") {
            return Err(PageError::Foreign);
        }
        Ok(Self(samples))
    }

    /// The samples of a name.
    pub(super) fn each<'p>(&'p self, name: &'p str) -> impl Iterator<Item = &'p Sample> {
        self.0.iter().filter(move |sample| sample.name == name)
    }

    /// The value of a name, or of the one of that name with a label.
    pub(super) fn value(&self, name: &str, label: Option<(&str, &str)>) -> Option<f64> {
        let fits = |sample: &&Sample| label.is_none_or(|(label, value)| sample.label(label) == Some(value));
        self.each(name).find(fits).map(|sample| sample.value)
    }

    /// When the server began, in seconds since 1970.
    #[must_use]
    pub fn started(&self) -> Option<f64> {
        self.value("process_start_time_seconds", None)
    }
}

/// `name{label="value",…} number`, with a time behind it that is not looked at.
fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at_checked(end).filter(|(name, _)| !name.is_empty())?;
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            rest = rest.trim_start_matches([',', ' ']);
            if let Some(behind) = rest.strip_prefix('}') {
                rest = behind;
                break;
            }
            let (label, quoted) = rest.split_once("=\"")?;
            let (value, behind) = unquote(quoted)?;
            labels.push((label.to_owned(), value));
            rest = behind;
        }
    }
    // Rust reads what Prometheus writes: +Inf, -Inf and NaN as well.
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// A label's value up to its closing quote, and what is behind that.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, text.get(at.checked_add(1)?..)?)),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn names_labels_and_numbers_are_read() {
        let read = |line| sample(line).unwrap();
        assert_eq!(read("a 5"), Sample { name: "a".into(), labels: Vec::new(), value: 5.0 });
        let rich = read(r#"a_b{x="1",y="q\"\\\n,}"} 2.5e-3 1700000000"#);
        assert_eq!(rich.label("y"), Some("q\"\\\n,}"));
        assert!((rich.value - 0.0025).abs() < 1e-12 && rich.label("x") == Some("1") && rich.label("z").is_none());
        assert!(read(r#"b{le="+Inf"} +Inf"#).value.is_infinite());
        for wrong in ["", "a", "a ", "a b", " 1", "a{x=\"1\" 2", "a{x=\"1} 2", "a{x} 2", "a{x=\"\\"] {
            assert_eq!(sample(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_servers_own_page_is_read_and_others_are_refused() {
        let page = Page::parse(&Metrics::new().unwrap().text().unwrap()).unwrap();
        assert_eq!(page.value("qpc_queue_depth", Some(("queue", "logins"))), Some(0.0));
        assert!(page.started().is_some() && page.value("qpc_nothing", None).is_none());
        assert_eq!(Page::parse("node_load1 3\n"), Err(PageError::Foreign));
        assert_eq!(Page::parse("# a\n<html>\n"), Err(PageError::Line(2, "<html>".into())));
    }
}
