//! `verify`: the safety number with a contact, shown; and what came of comparing it, said.
//!
//! Nothing is believed because it was shown: a mark is made for the number that a person has, or that they were shown
//! and said yes to, and the library compares it once more with the key of that moment.

use std::io::{self, Write};

use qpc_client::api::{Command, Compared, Outcome, SafetyNumber};

use super::{
    args::Verdict, ask, exit::Exit, failure::Failure, hint, input, render::Render, screen::Screen, seat::Seat,
};

/// Shows, marks, takes back or accepts.
///
/// # Errors
/// A [`Failure`]: no such contact, numbers that differ, a terminal that is needed and is not there.
pub(super) async fn verify(seat: &mut Seat, screen: &Screen, who: String, verdict: Verdict) -> Result<(), Failure> {
    let command = match verdict {
        Verdict { undo: true, .. } => Command::Unverify { who },
        Verdict { accept_new_key: true, .. } => Command::TrustKey { who, though_verified: true },
        Verdict { scanned: Some(text), .. } => {
            let text = if text == "-" { input::short_line("the code").await? } else { text };
            Command::Verify { who, compared: Compared::Code(text) }
        }
        Verdict { confirm: Some(typed), .. } if !typed.is_empty() => {
            Command::Verify { who, compared: Compared::Number(typed.join(" ")) }
        }
        Verdict { confirm: Some(_), .. } => {
            // What is marked is what was shown: a key that changes meanwhile has another number.
            let compared = Compared::Number(confirmed(seat, screen, &who).await?);
            Command::Verify { who, compared }
        }
        Verdict { .. } => return show(seat, screen, who).await,
    };
    ask::ask(seat, screen, command).await
}

async fn show(seat: &mut Seat, screen: &Screen, who: String) -> Result<(), Failure> {
    let number = number(seat, who).await?;
    if screen.json {
        return Ok(screen.object(&number)?);
    }
    let render = Render::new(screen, &seat.address().await);
    Ok(render.safety_page(&number, screen.columns()).iter().try_for_each(|line| screen.data(line))?)
}

async fn number(seat: &mut Seat, who: String) -> Result<SafetyNumber, Failure> {
    match seat.insist(Command::SafetyNumber { who }).await? {
        Outcome::SafetyNumber(number) => Ok(number),
        _ => Err(Failure::internal("the safety number is an answer of another kind")),
    }
}

/// The number that was shown to a person, and that they say the contact has, too.
async fn confirmed(seat: &mut Seat, screen: &Screen, who: &str) -> Result<String, Failure> {
    if !screen.interactive {
        return Err(Failure::usage("there is nobody here who can be asked whether the numbers are equal").next(
            format!(
                "{} verify {} --confirm NUMBER, with the 60 digits or 18 words that they have",
                hint::program(),
                hint::quoted(who)
            ),
        ));
    }
    let number = number(seat, who.to_owned()).await?;
    let render = Render::new(screen, &seat.address().await);
    render.safety_number(&number).iter().try_for_each(|line| screen.data(line))?;
    let question = format!("Does {} have the same, digit for digit? Type yes or no: ", render.name(&number.address));
    if input::asked(move || yes(&question)).await? {
        return Ok(number.number);
    }
    let what = format!("THE NUMBERS DIFFER, as you say: {} has another one. Nothing was marked.", number.address);
    Err(Failure::new(Exit::KeyDiffers, what).next(hint::differs(&number.address)))
}

fn yes(question: &str) -> Result<bool, Failure> {
    loop {
        io::stderr().lock().write_all(question.as_bytes()).ok();
        let mut answer = String::new();
        if io::stdin().read_line(&mut answer)? == 0 {
            return Err(Failure::usage("that was no answer; nothing was marked"));
        }
        match answer.trim() {
            "yes" => return Ok(true),
            "no" => return Ok(false),
            _ => {}
        }
    }
}
