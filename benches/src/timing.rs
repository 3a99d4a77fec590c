//! Is a known name told from an unknown one by the time, the bytes or the code of a login?
//!
//! Only KE1 to KE2 is timed, so no key stretching; both kinds take turns in random order.

use std::{path::Path, time::Instant};

use anyhow::{Context, bail};
use prost::Message;
use qpc_client::wire::{self, Wire};
use qpc_proto::{
    error::Code,
    v1::{self, answer::Result as Outcome, request::Method},
};

use crate::{
    bed::Bed,
    crowd,
    random::Random,
    report::Report,
    stats::{difference_of_medians, median, quantile},
};

/// Names of each kind.
const NAMES: usize = 16;
/// Pairs on one connection, which may ask no more than 32 times before it is authenticated.
const PAIRS_PER_CONNECTION: usize = 8;
/// Pairs whose time does not count, at the beginning.
const WARM_UP: usize = 200;
/// Rounds of resampling.
const ROUNDS: usize = 1_000;
/// The interval must lie within this many per cent of the known names' median.
const BAR_PERCENT: f64 = 2.0;

/// Runs it.
///
/// # Errors
/// When something goes wrong that is no figure.
pub async fn run(program: &Path, pairs: usize, seed: u64) -> anyhow::Result<Report> {
    let bed = Bed::start(program).await?;
    let dialer = bed.dialer(1)?;
    let mut random = Random::new(seed);
    for number in 0..NAMES {
        crowd::person(&dialer, bed.token(), &known(number)).await?.wire.close();
    }
    let mut report = Report::new("timing");
    let (mut of_known, mut of_unknown) = (Vec::with_capacity(pairs), Vec::with_capacity(pairs));
    let mut lengths: Option<usize> = None;
    let all = pairs.saturating_add(WARM_UP);
    let mut done = 0usize;
    while done < all {
        let link = dialer.connect().await?;
        for _ in 0..PAIRS_PER_CONNECTION.min(all.saturating_sub(done)) {
            let number = random.index(NAMES);
            let mut names = [(true, known(number)), (false, unknown(number))];
            if random.below(2) == 0 {
                names.reverse();
            }
            for (is_known, name) in names {
                let (micros, length) = login_start(&link, &name).await?;
                if *lengths.get_or_insert(length) != length {
                    report.fail(format!(
                        "KE2 of a {} name has another length",
                        if is_known { "known" } else { "unknown" }
                    ));
                }
                if done >= WARM_UP {
                    if is_known { of_known.push(micros) } else { of_unknown.push(micros) }
                }
            }
            done = done.saturating_add(1);
        }
        link.close();
    }
    refusals(&dialer, &mut report).await?;
    judge(&mut report, of_known, of_unknown, seed);
    dialer.close().await;
    Ok(report)
}

fn known(number: usize) -> String {
    format!("timing-known-{number:02}")
}

fn unknown(number: usize) -> String {
    format!("timing-other-{number:02}")
}

/// Microseconds from KE1 to KE2, and the length of the answer.
async fn login_start(link: &Wire, name: &str) -> anyhow::Result<(f64, usize)> {
    let request = Method::LoginStart(v1::LoginStart { name: name.to_owned(), ke1: wire::ke1("a wrong password")? });
    let began = Instant::now();
    let answer = link.call(request).await?;
    let micros = began.elapsed().as_secs_f64() * 1e6;
    match answer {
        Outcome::LoginStart(answer) => Ok((micros, answer.encoded_len())),
        _ => bail!("an answer of another kind"),
    }
}

/// A wrong proof for a known name and for an unknown one: one code, one detail.
async fn refusals(dialer: &wire::Dialer, report: &mut Report) -> anyhow::Result<()> {
    let mut answers = Vec::new();
    for name in [known(0), unknown(0)] {
        let link = dialer.connect().await?;
        login_start(&link, &name).await?;
        let proof = Method::LoginFinish(v1::LoginFinish { ke3: vec![7; 64].into() });
        let (mut requests, mut frames) = link.open().await?;
        requests.send(proof).await?;
        let answer = frames.next().await?.context("no answer to a wrong proof")?;
        answers.push(v1::Answer { result: Some(answer) });
        link.close();
    }
    let code = |answer: &v1::Answer| match &answer.result {
        Some(Outcome::Error(error)) => error.code,
        _ => 0,
    };
    let [known, unknown] = answers.as_slice() else { bail!("two answers were due") };
    report.figure("refusal_code", "code of both refusals", code(known), "");
    report.figure("refusal_bytes", "length of both refusals", known.encoded_len(), "bytes");
    if known != unknown || known.encode_to_vec() != unknown.encode_to_vec() {
        report.fail("a wrong password and an unknown name are answered differently");
    }
    if code(known) != Code::LoginFailed as u32 {
        report.fail("a wrong proof is not answered by LOGIN_FAILED");
    }
    Ok(())
}

fn judge(report: &mut Report, mut of_known: Vec<f64>, mut of_unknown: Vec<f64>, seed: u64) {
    let (low, high) = difference_of_medians(&of_known, &of_unknown, ROUNDS);
    for sample in [&mut of_known, &mut of_unknown] {
        sample.sort_by(f64::total_cmp);
    }
    let (one, other) = (median(&of_known), median(&of_unknown));
    let percent = |value: f64| if one > 0.0 { 100.0 * value / one } else { f64::NAN };
    report.figure("pairs", "pairs", of_known.len(), "");
    report.figure("seed", "seed", seed, "");
    report.figure("known_median_us", "median, known name", one, "us");
    report.figure("unknown_median_us", "median, unknown name", other, "us");
    report.figure("known_p95_us", "p95, known name", quantile(&of_known, 0.95), "us");
    report.figure("unknown_p95_us", "p95, unknown name", quantile(&of_unknown, 0.95), "us");
    report.figure("difference_low_us", "difference of medians, 95 % from", low, "us");
    report.figure("difference_high_us", "difference of medians, 95 % to", high, "us");
    report.figure("difference_low_percent", "the same, of the known median, from", percent(low), "%");
    report.figure("difference_high_percent", "the same, of the known median, to", percent(high), "%");
    if !(percent(low) >= -BAR_PERCENT && percent(high) <= BAR_PERCENT) {
        report.fail(format!("the interval does not lie within {BAR_PERCENT} % of the median"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(shift: f64) -> bool {
        let known: Vec<f64> = (0..2_000).map(|n| 300.0 + f64::from(n % 40)).collect();
        let unknown = known.iter().map(|value| value + shift).collect();
        let mut report = Report::new("timing");
        judge(&mut report, known, unknown, 1);
        report.passed()
    }

    #[test]
    fn equal_times_pass_and_a_difference_of_a_tenth_does_not() {
        assert!(verdict(0.0));
        assert!(!verdict(30.0) && !verdict(-30.0));
    }
}
