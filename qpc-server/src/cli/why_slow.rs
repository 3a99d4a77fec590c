//! `why-slow`: two pages of the running server, and what they say.

use std::{
    io::{self, IsTerminal, Write},
    thread,
    time::{Duration, Instant},
};

use super::{
    args::{Place, WhySlowArgs},
    client_lines::reachable,
    exit::{Exit, Fault},
    print,
    serve::load,
};
use crate::{
    admin,
    clock::{Clock, SystemClock},
    why_slow::{self, Page},
};

pub(super) fn why_slow(place: &Place, args: &WhySlowArgs) -> Result<(), Fault> {
    let loaded = load(place, None, None)?;
    let address = reachable(loaded.config.metrics.listen);
    let over = args.over.0;
    let (first, begin) = (page(address)?, Instant::now());
    let report = if over.is_zero() {
        let now = Duration::from_millis(SystemClock.unix_ms());
        let began = Duration::try_from_secs_f64(first.started().unwrap_or(0.0)).unwrap_or_default();
        why_slow::explain(&first, None, now.saturating_sub(began))
    } else {
        if io::stderr().is_terminal() && !args.json {
            // A terminal that is gone is in nobody's way.
            writeln!(io::stderr(), "looking for {} seconds", over.as_secs()).ok();
        }
        thread::sleep(over);
        let second = page(address)?;
        why_slow::explain(&second, Some(&first), begin.elapsed())
    };
    if args.json {
        let line = serde_json::to_string(&report).map_err(|error| Fault::new(Exit::Internal, error))?;
        return print(&format!("{line}\n"));
    }
    print(&report.text())
}

fn page(address: std::net::SocketAddr) -> Result<Page, Fault> {
    let url = format!("http://{address}/metrics");
    let silent = |error| Fault::new(Exit::NotReady, format!("no answer from {url}: {error}; does the server run?"));
    let fetched = admin::fetch(address, "/metrics").map_err(silent)?;
    Page::parse(&fetched.body).map_err(|error| Fault::new(Exit::NotReady, format!("{url}: {error}")))
}
