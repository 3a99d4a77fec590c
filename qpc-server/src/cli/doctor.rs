//! `doctor`: the findings as lines, as they are made.

use std::io::{self, IsTerminal};

use anstyle::{AnsiColor, Style};

use super::{
    args::{DoctorArgs, Place},
    client_lines::reachable,
    exit::{Exit, Fault},
    print,
    serve::read,
};
use crate::{
    doctor::{self, Examination, Finding, Mark},
    logging,
};

/// Looks at everything. Ends with [`Exit::Bad`] where something is.
pub(super) fn doctor(place: &Place, args: &DoctorArgs) -> Result<(), Fault> {
    let _level = logging::init(&logging::quiet());
    let loaded = read(place, None, None)?;
    let metrics = loaded.as_ref().ok().map(|loaded| reachable(loaded.config.metrics.listen));
    let of = Examination {
        deep: args.deep,
        reach: args.reach.clone(),
        metrics: metrics.filter(|address| address.port() != 0),
    };
    let (mut bad, mut printed) = (0_u32, Ok(()));
    let colours = colours();
    doctor::examine(loaded.as_ref(), &of, &mut |finding| {
        bad = bad.saturating_add(u32::from(finding.mark == Mark::Bad));
        if printed.is_ok() {
            printed = line(&finding, args.json, colours).and_then(|line| print(&line));
        }
    });
    printed?;
    match bad {
        0 => Ok(()),
        1 => Err(Fault::new(Exit::Bad, "one thing is bad")),
        _ => Err(Fault::new(Exit::Bad, format!("{bad} things are bad"))),
    }
}

/// On a terminal, unless NO_COLOR says otherwise.
fn colours() -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    io::stdout().is_terminal() && set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}

fn line(finding: &Finding, json: bool, colours: bool) -> Result<String, Fault> {
    if json {
        let line = serde_json::to_string(finding).map_err(|error| Fault::new(Exit::Internal, error))?;
        return Ok(format!("{line}\n"));
    }
    let Finding { check, mark, found, remedy } = finding;
    let style = match (colours, mark) {
        (false, _) => Style::new(),
        (true, Mark::Ok) => AnsiColor::Green.on_default(),
        (true, Mark::Warning) => AnsiColor::Yellow.on_default(),
        (true, Mark::Bad) => AnsiColor::Red.on_default().bold(),
    };
    let remedy = remedy.as_ref().map(|remedy| format!(" -> {remedy}")).unwrap_or_default();
    Ok(format!("{style}{:7}{style:#}  {check:22}  {found}{remedy}\n", mark.word()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line() {
        let finding = |remedy: Option<&str>| Finding {
            check: "clock",
            mark: Mark::Bad,
            found: "it is behind".into(),
            remedy: remedy.map(Into::into),
        };
        let shown = |finding, json, colours| line(&finding, json, colours).unwrap();
        assert_eq!(shown(finding(None), false, false), "bad      clock                   it is behind\n");
        assert_eq!(
            shown(finding(Some("set it")), false, true),
            "\u{1b}[1m\u{1b}[31mbad    \u{1b}[0m  clock                   it is behind -> set it\n"
        );
        assert_eq!(
            shown(finding(Some("set it")), true, true),
            "{\"check\":\"clock\",\"mark\":\"bad\",\"found\":\"it is behind\",\"do\":\"set it\"}\n"
        );
    }
}
