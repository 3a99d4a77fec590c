//! What operators watch exists: every metric that the rules and the dashboard in `docker/` name is one of the server's or
//! of the rules', every alert has a test of promtool's, and every alert's page has the section it points to. Whether the
//! expressions mean what they should is for promtool (`make rules`).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use qpc_server::metrics::{FederationMetrics, Metrics, labels::Direction};
use serde_json::Value;

/// What Prometheus says of each target by itself.
const OF_PROMETHEUS: &str = "up";
/// What words of an expression are not names.
const OPERATORS: [&str; 5] = ["and", "or", "unless", "bool", "offset"];
/// What is followed by a list of labels.
const GROUPINGS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The values of this key in a file of rules, one line each.
fn values(text: &str, key: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.trim_start().trim_start_matches("- "));
    lines.filter_map(|line| Some(line.strip_prefix(key)?.strip_prefix(':')?.trim().to_owned())).collect()
}

/// The names of series on the page of a server with a peer.
fn shown() -> BTreeSet<String> {
    let metrics = Metrics::new().unwrap();
    let federation = FederationMetrics::new(&metrics).unwrap();
    federation.prepare("b.example");
    federation.set_link("b.example", Direction::In, true);
    federation.set_round_trip("b.example", 0.1);
    let page = metrics.text().unwrap();
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect()
}

/// The metrics that an expression names.
fn names(expression: &str) -> BTreeSet<String> {
    let is_name = |character: char| character.is_ascii_alphanumeric() || "_:.".contains(character);
    let (mut found, mut rest) = (BTreeSet::new(), expression.trim_matches('\''));
    while let Some(first) = rest.chars().next() {
        // What stands in {} and [] names labels and spans.
        if let Some(end) = match first {
            '{' => Some('}'),
            '[' => Some(']'),
            _ => None,
        } {
            rest = rest.split_once(end).unwrap().1;
            continue;
        }
        let word = &rest[..rest.find(|character| !is_name(character)).unwrap_or(rest.len())];
        if word.is_empty() {
            rest = &rest[first.len_utf8()..];
            continue;
        }
        rest = rest[word.len()..].trim_start();
        if GROUPINGS.contains(&word) {
            rest = rest.split_once(')').unwrap().1;
        } else if !["(", "by ", "without "].iter().any(|after| rest.starts_with(after))
            && !OPERATORS.contains(&word)
            && !word.starts_with(|c: char| c.is_ascii_digit())
        {
            found.insert(word.to_owned());
        }
    }
    found
}

/// Each expression of the dashboard's queries.
fn queries() -> Vec<String> {
    let board: Value = serde_json::from_str(&read("docker/grafana/dashboards/quicprochat.json")).unwrap();
    let panels = board["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_names_of_an_expression_are_found() {
    let all = |text: &str| names(text).into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(all("histogram_quantile(0.95, sum by (job, le) (rate(a_bucket[5m]))) * 60"), "a_bucket");
    assert_eq!(all(r#"(a{state="on line"} > 0) / on (job) b:c:d and up{job="qpc"} == 0 - time()"#), "a b:c:d up");
}

#[test]
fn every_metric_that_rules_and_dashboard_name_is_there() {
    let (record, alert) = (read("docker/prometheus/rules/record.yml"), read("docker/prometheus/rules/alert.yml"));
    let mut known = shown();
    known.insert(OF_PROMETHEUS.into());
    known.extend(values(&record, "record"));
    let rules = [values(&record, "expr"), values(&alert, "expr")].concat();
    assert_eq!(rules.len(), values(&record, "record").len() + values(&alert, "alert").len(), "an expression in lines");
    let queries = queries();
    assert!(queries.len() > 50, "{}", queries.len());
    for expression in rules.into_iter().chain(queries) {
        let named = names(&expression);
        assert!(!named.is_empty(), "{expression}");
        let missing: Vec<_> = named.difference(&known).collect();
        assert!(missing.is_empty(), "{expression}: the server has no {missing:?}");
    }
}

#[test]
fn every_metric_of_a_rule_or_an_alert_is_watched_by_the_dashboard_too() {
    let of = |text: &str| values(text, "expr").iter().flat_map(|expression| names(expression)).collect::<BTreeSet<_>>();
    let mut seen: BTreeSet<_> = queries().iter().flat_map(|query| names(query)).collect();
    let record = read("docker/prometheus/rules/record.yml");
    for (name, expression) in values(&record, "record").into_iter().zip(values(&record, "expr")) {
        if seen.contains(&name) {
            seen.extend(names(&expression));
        }
    }
    let unseen: Vec<_> = of(&read("docker/prometheus/rules/alert.yml")).difference(&seen).cloned().collect();
    assert!(unseen.is_empty(), "alerts of what no panel shows: {unseen:?}");
}

#[test]
fn every_alert_has_a_test_and_a_section_that_says_what_to_do() {
    let (alert, tests) = (read("docker/prometheus/rules/alert.yml"), read("docker/prometheus/tests/alert.yml"));
    let names = values(&alert, "alert");
    assert_eq!(names.len(), values(&alert, "runbook").len());
    for name in &names {
        for severity in ["warning", "critical"] {
            let of = format!("- alert: {name}\n");
            let has = alert.split(&of).skip(1).any(|rule| {
                let own = rule.split("- alert: ").next().unwrap();
                values(own, "severity") == [severity]
            });
            // A server is down or is not.
            assert!(has || (name == "QpcDown" && severity == "warning"), "{name} has no {severity}");
            let test = tests.split("- name: ").find(|test| test.starts_with(&format!("{name}\n")));
            let test = test.unwrap_or_else(|| panic!("docker/prometheus/tests/alert.yml: no test of {name}"));
            assert!(!has || test.contains(&format!("severity=\"{severity}\"")), "{name}: no test of {severity}");
        }
    }
    for place in values(&alert, "runbook") {
        let (page, anchor) = place.split_once('#').unwrap();
        let heading = |line: &str| {
            let title = line.trim_start_matches('#');
            title.len() < line.len() && title.trim().to_lowercase().replace(' ', "-") == anchor
        };
        assert!(read(page).lines().any(heading), "{page} has no section {anchor}");
    }
}
