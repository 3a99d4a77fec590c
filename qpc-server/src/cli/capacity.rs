//! `capacity`: what so many people take, from what was measured, beside the formulas that are in use elsewhere.
//!
//! What was not said is asked for on a terminal, where nothing was said; elsewhere the defaults count, and are shown.

mod measured;
mod worksheet;

use std::io::{self, BufRead, IsTerminal};

use serde_json::json;

use self::{
    measured::{FIGURES, ROWS, ROWS_DATE, ROWS_SOURCE},
    worksheet::{Asked, Needed, Prices, needed},
};
use super::{
    args::CapacityArgs,
    exit::{Exit, Fault},
    print,
};

/// How often a question is put again after an answer that is none.
const ASKED_MAX: usize = 5;
/// Longest answer, in bytes.
const ANSWER_MAX: u64 = 1_024;

/// One number of the worksheet: what is asked for, and what it may be.
pub(super) struct Question {
    ask: &'static str,
    least: f64,
    most: f64,
    /// What counts where nothing was said: the load that was measured.
    default: f64,
}

/// People connected at once: as many as `server.users_planned` may say.
pub(super) const USERS: Question =
    Question { ask: "People connected at the same time", least: 1.0, most: 1e6, default: 1_000.0 };
/// Messages.
pub(super) const MESSAGES: Question =
    Question { ask: "Messages that each of them sends in an hour", least: 0.0, most: 10_000.0, default: 240.0 };
/// Their size.
pub(super) const BYTES: Question =
    Question { ask: "Bytes of a message, encrypted", least: 0.0, most: 65_536.0, default: 400.0 };
/// Attachments.
pub(super) const UPLOADS: Question =
    Question { ask: "Attachments that all of them together send in a day", least: 0.0, most: 1e8, default: 1_000.0 };
/// Their size.
pub(super) const UPLOAD_MB: Question =
    Question { ask: "MB of an attachment", least: 0.0, most: 17_179.0, default: 1.0 };
/// How often they are read.
pub(super) const FETCHES: Question =
    Question { ask: "How often each attachment is fetched", least: 0.0, most: 1_000.0, default: 2.0 };
/// How long all is kept.
pub(super) const DAYS: Question =
    Question { ask: "Days that it is all kept", least: 1.0, most: 36_500.0, default: 90.0 };
/// Of anything.
pub(super) const PRICE: Question = Question { ask: "", least: 0.0, most: 1e6, default: 0.0 };

impl Question {
    /// Reads an answer.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn parse(&self, text: &str) -> Result<f64, String> {
        let number: f64 = text.trim().replace(['_', ','], "").parse().map_err(|_| "not a number".to_owned())?;
        if (self.least..=self.most).contains(&number) {
            return Ok(number);
        }
        Err(format!("not from {} to {}", grouped(self.least, 0), grouped(self.most, 0)))
    }
}

/// `capacity`.
pub(super) fn capacity(args: &CapacityArgs) -> Result<(), Fault> {
    let said = [
        (&USERS, args.users),
        (&MESSAGES, args.messages_per_hour),
        (&BYTES, args.message_bytes),
        (&UPLOADS, args.uploads_per_day),
        (&UPLOAD_MB, args.upload_mb),
        (&FETCHES, args.fetches_per_upload),
        (&DAYS, args.retention_days),
    ];
    let silent = said.iter().all(|(_, value)| value.is_none());
    let interactive = silent && !args.json && io::stdin().is_terminal() && io::stdout().is_terminal();
    let answers = said.map(|(question, value)| match value {
        None if interactive => ask(question),
        value => Ok(value.unwrap_or(question.default)),
    });
    let [users, messages, bytes, uploads, upload_mb, fetches, days] = answers;
    let asked = Asked {
        users: users?,
        messages_per_hour: messages?,
        message_bytes: bytes?,
        uploads_per_day: uploads?,
        upload_mb: upload_mb?,
        fetches_per_upload: fetches?,
        retention_days: days?,
        prices: Prices {
            vcpu: args.price_vcpu,
            gib_memory: args.price_gib_memory,
            gib_disk: args.price_gib_disk,
            gib_traffic: args.price_gib_traffic,
        },
    };
    let needed = needed(&asked);
    if !args.json {
        return print(&text(&asked, &needed));
    }
    let figures = FIGURES.map(
        |figure| json!({ "what": figure.what, "value": figure.value, "source": figure.source, "date": figure.date }),
    );
    let line = json!({ "asked": asked, "needed": needed, "constants": figures, "rows": rows_source() });
    print(&format!("{line}\n"))
}

/// Asks until there is an answer. Nothing but the end of a line takes the default.
fn ask(question: &Question) -> Result<f64, Fault> {
    for _ in 0..ASKED_MAX {
        print(&format!("{} [{}]: ", question.ask, grouped(question.default, 0)))?;
        let mut line = String::new();
        let mut input = io::Read::take(io::stdin().lock(), ANSWER_MAX);
        let read = input.read_line(&mut line).map_err(|error| Fault::new(Exit::Io, error))?;
        if read == 0 {
            return Err(Fault::new(
                Exit::Usage,
                "no answer; each can be given as an option: qpc-server capacity --help",
            ));
        }
        if line.trim().is_empty() {
            return Ok(question.default);
        }
        match question.parse(&line) {
            Ok(number) => return Ok(number),
            Err(wrong) => print(&format!("  {}: {wrong}\n", line.trim()))?,
        }
    }
    Err(Fault::new(Exit::Usage, "no answer that could be used; each can be given as an option"))
}

fn rows_source() -> String {
    format!("{ROWS_SOURCE} ({ROWS_DATE})")
}

/// For people.
fn text(asked: &Asked, of: &Needed) -> String {
    let mut text = format!(
        "{} people at once, {} messages an hour each of {} bytes, {} attachments a day of {} MB, each fetched {} times, kept \
         for {} days\n\n",
        grouped(asked.users, 0),
        grouped(asked.messages_per_hour, 0),
        grouped(asked.message_bytes, 0),
        grouped(asked.uploads_per_day, 0),
        grouped(asked.upload_mb, 1),
        grouped(asked.fetches_per_upload, 1),
        grouped(asked.retention_days, 0),
    );
    let mut row = |what: &str, ours: String, old: String| text.push_str(&format!("{what:<30}{ours:>24}{old:>20}\n"));
    row("", "by what was measured".into(), "old formula".into());
    row("storage a day", size(of.storage_per_day_bytes), size(of.old.storage_per_day_bytes));
    row("database growth a month", size(of.database_per_month_bytes), "-".into());
    row("attachments a month", size(of.attachments_per_month_bytes), "-".into());
    row("disk, once it grows no more", size(of.disk_bytes), "-".into());
    row("memory", size(of.memory_bytes), size(of.old.memory_bytes));
    row("a machine's memory", format!("{} GiB", plain(of.machine_gib)), "-".into());
    row("CPU, % of a core", grouped(of.cpu_percent, 1), "-".into());
    row("vCPU, half used", grouped(of.vcpus, 0), grouped(of.old.vcpus, 0));
    let network =
        format!("{} / {} Mbit/s", grouped(of.network_in_mbit_per_s, 2), grouped(of.network_out_mbit_per_s, 2));
    row("network in / out", network, "-".into());
    row("traffic out a month", format!("{} GiB", grouped(of.traffic_out_per_month_gib, 0)), "-".into());
    if let Some(cost) = of.cost_per_month {
        row("cost a month", grouped(cost, 2), "-".into());
    }
    row("profile", of.profile.unwrap_or("none").into(), "-".into());
    text.push_str(&match of.profile {
        Some(name) => format!("\nqpc-server init --profile {name} --domain DOMAIN\n"),
        None => "\nMore than one node was measured with: docs/operations/scale.md says what several can do.\n".into(),
    });
    text.push_str(
        "\nMessages of every hour of the day count as those of this one; people who talk for eight hours take a third of the disk.\n\
         A copy of the database, as a backup, needs as much space again. Old formulas: storage a day = users x messages an hour x\n\
         24 x size + attachments x size; memory = users x 5 KB + 256 MB; 1 vCPU for 2,500 connections.\n\nCounted with\n\n",
    );
    for figure in FIGURES {
        let value = plain(figure.value);
        text.push_str(&format!("  {:<52}{value:>7}   {} ({})\n", figure.what, figure.source, figure.date));
    }
    text.push_str(&format!("\n  CPU, deliveries and network by messages a second: {}\n", rows_source()));
    text.push_str("  messages/s  deliveries/s  CPU, % of a core  network in / out, Mbit/s\n");
    for row in &ROWS {
        text.push_str(&format!(
            "  {:>10}{:>14}{:>18}{:>26}\n",
            grouped(row.messages_per_s, 1),
            grouped(row.deliveries_per_s, 1),
            grouped(row.cpu, 1),
            format!("{:.2} / {:.2}", row.network_in, row.network_out),
        ));
    }
    text
}

/// A number as it is, without zeros behind the point.
fn plain(number: f64) -> String {
    format!("{number}")
}

/// Bytes in the unit that leaves a few digits.
fn size(bytes: f64) -> String {
    let mut rest = bytes;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if rest < 1_024.0 {
            return format!("{} {unit}", grouped(rest, if unit == "B" { 0 } else { 1 }));
        }
        rest /= 1_024.0;
    }
    format!("{} PiB", grouped(rest, 1))
}

/// A number with commas between thousands and so many digits behind the point, none where they are zeros.
fn grouped(number: f64, digits: usize) -> String {
    let text = format!("{number:.digits$}");
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let mut out = String::new();
    let length = whole.chars().count();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && length.saturating_sub(at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    let rest = rest.trim_end_matches('0');
    if rest.is_empty() { out } else { format!("{out}.{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(grouped(1_234_567.0, 0), "1,234,567");
        assert_eq!(grouped(999.0, 0), "999");
        assert_eq!(grouped(1_000.25, 1), "1,000.2");
        assert_eq!(grouped(2.0, 2), "2");
        assert_eq!(size(0.0), "0 B");
        assert_eq!(size(1_023.0), "1,023 B");
        assert_eq!(size(1_536.0), "1.5 KiB");
        assert_eq!(size(3.0 * 1_073_741_824.0), "3 GiB");
        assert_eq!(size(f64::powi(1_024.0, 5) * 2_000.0), "2,000 PiB");
    }

    #[test]
    fn answers_are_numbers_within_bounds() {
        assert_eq!(USERS.parse(" 1,000\n"), Ok(1_000.0));
        assert_eq!(USERS.parse("1000000"), Ok(1_000_000.0));
        for wrong in ["0", "1000001", "-5", "inf", "NaN"] {
            assert_eq!(USERS.parse(wrong), Err("not from 1 to 1,000,000".into()), "{wrong}");
        }
        for wrong in ["", "many", "1e", "0x10"] {
            assert_eq!(USERS.parse(wrong), Err("not a number".into()), "{wrong}");
        }
        for question in [&USERS, &MESSAGES, &BYTES, &UPLOADS, &UPLOAD_MB, &FETCHES, &DAYS] {
            assert_eq!(question.parse(&question.default.to_string()), Ok(question.default), "{}", question.ask);
        }
    }
}
