//! `file`: sent, listed, fetched. Paths are made absolute here, because another process may drive the home.

mod send;

pub(super) use self::send::wait;

use std::path::{self, Path, PathBuf};

use qpc_client::{
    Notice,
    api::{Command, CommandError, Direction, Event, Outcome, Place, Transfer, shown_size},
};

use super::{args::FileVerb, ask, failure::Failure, render::Render, screen::Screen, seat::Seat, table::cut, terminal};

/// Columns of a bar of progress.
const BAR: u64 = 24;
/// Columns of a name beside it.
const NAME_WIDTH: usize = 30;

/// Does something with files.
///
/// # Errors
/// A [`Failure`] that says what to do next.
pub(super) async fn file(seat: &mut Seat, screen: &Screen, verb: FileVerb) -> Result<(), Failure> {
    match verb {
        FileVerb::Send { to, paths, caption } => send::send(seat, screen, to, (paths, caption)).await,
        FileVerb::List { to } => ask::ask(seat, screen, Command::Files { to }).await,
        FileVerb::Get { id, output } => {
            let got = get(seat, screen, id, output).await;
            screen.progress("");
            got
        }
    }
}

async fn get(seat: &mut Seat, screen: &Screen, id: String, output: Option<PathBuf>) -> Result<(), Failure> {
    let place = place(output.as_deref())?;
    let command = Command::FileGet { id: id.clone(), place };
    let begins: String = id.to_lowercase();
    let outcome = loop {
        let getting = seat.execute(command.clone());
        tokio::pin!(getting);
        let outcome = loop {
            tokio::select! {
                biased;
                outcome = &mut getting => break outcome,
                notice = seat.next() => if let Notice::Event(Event::Transfer(at)) = notice?
                    && at.direction == Direction::Down
                    && at.id.starts_with(&begins)
                {
                    screen.progress(&bar(&at, ""));
                },
            }
        };
        match outcome {
            // The program that drove the home has ended: this one goes on.
            Err(CommandError::Unreachable { .. }) if seat.moved().await? => {}
            outcome => break outcome?,
        }
    };
    screen.progress("");
    match outcome {
        Outcome::Saved(saved) if screen.json => Ok(screen.object(&saved)?),
        outcome => {
            let render = Render::new(screen, "");
            Ok(render.outcome(&outcome).iter().try_for_each(|line| screen.data(line))?)
        }
    }
}

/// Where a file is to be saved: here, unless that is said.
pub(super) fn place(output: Option<&Path>) -> Result<Place, Failure> {
    Ok(match output {
        None => Place::Directory(absolute(Path::new("."))?),
        Some(path) if path.is_dir() => Place::Directory(absolute(path)?),
        Some(path) => Place::File(absolute(path)?),
    })
}

/// A path that means the same to whoever drives the home.
pub(super) fn absolute(path: &Path) -> Result<String, Failure> {
    let shown = path.display().to_string();
    let absolute = path::absolute(path).map_err(|error| Failure::data(error.to_string()).at(&shown))?;
    // A last component as it stands: `.` is gone by now.
    absolute
        .into_os_string()
        .into_string()
        .map_err(|_| Failure::data("the path is not UTF-8").at(shown).next("rename it, or go into its directory"))
}

/// How far a file has come, in one line.
fn bar(at: &Transfer, name: &str) -> String {
    let total = at.total.max(1);
    let of = |whole: u64| {
        let part = u128::from(at.done.min(total)).saturating_mul(whole.into());
        part.checked_div(total.into()).unwrap_or_default()
    };
    let (full, percent) = (usize::try_from(of(BAR)).unwrap_or_default(), of(100));
    let empty = usize::try_from(BAR).unwrap_or_default().saturating_sub(full);
    let sizes = format!("{} of {}", shown_size(at.done.min(total)), shown_size(at.total));
    let name = cut(&terminal::line(name), NAME_WIDTH);
    format!("[{}{}] {percent:>3} %  {sizes}  {name}", "#".repeat(full), ".".repeat(empty))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_goes_from_empty_to_full() {
        let at = |done, total| Transfer { id: "1".into(), direction: Direction::Up, done, total };
        let empty = ".".repeat(24);
        assert_eq!(bar(&at(0, 2_000), "a\nb"), format!("[{empty}]   0 %  0 bytes of 2.0 kB  a␊b"));
        let full = "#".repeat(24);
        assert_eq!(bar(&at(3_000, 2_000), ""), format!("[{full}] 100 %  2.0 kB of 2.0 kB  "));
        assert!(bar(&at(0, 0), "").starts_with(&format!("[{empty}]   0 %")));
        assert!(bar(&at(u64::MAX, u64::MAX), "").starts_with(&format!("[{full}]")));
    }
}
