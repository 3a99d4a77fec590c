//! Passwords: from a file, from a prompt, or from standard input; never from an argument.

use std::{
    io::{self, BufRead, IsTerminal},
    path::Path,
};

use qpc_client::api::Password;

use super::{failure::Failure, input};

/// Where passwords come from.
#[derive(Debug)]
pub(super) enum Source {
    /// Lines that were read at once, in the order they are used.
    Lines(std::collections::VecDeque<Password>, String),
    /// A person.
    Prompt,
}

impl Source {
    /// The file, if one is named (`-` is standard input); else the terminal; else standard input.
    /// `count` passwords will be asked for.
    ///
    /// # Errors
    /// A data [`Failure`] where the file can't be read.
    pub(super) async fn open(file: Option<&Path>, count: usize) -> Result<Self, Failure> {
        match file.filter(|path| *path != Path::new("-")).map(Path::to_owned) {
            Some(path) => {
                let place = format!("{} (--password-file)", path.display());
                input::asked(move || {
                    let file = std::fs::File::open(path)
                        .map_err(|error| Failure::data(format!("the file can't be read: {error}")).at(place.clone()))?;
                    Self::lines(io::BufReader::new(file), count, place)
                })
                .await
            }
            None if file.is_none() && io::stdin().is_terminal() => Ok(Self::Prompt),
            None => input::asked(move || Self::lines(io::stdin().lock(), count, "standard input".to_owned())).await,
        }
    }

    fn lines(input: impl BufRead, count: usize, place: String) -> Result<Self, Failure> {
        let lines = input.lines().take(count).collect::<Result<_, _>>();
        let lines: Vec<String> =
            lines.map_err(|error| Failure::data(format!("the password can't be read: {error}")).at(place.clone()))?;
        Ok(Self::Lines(lines.into_iter().map(|line| Password(line.trim_end_matches('\r').to_owned())).collect(), place))
    }

    /// The password of an account there is.
    ///
    /// # Errors
    /// A data [`Failure`] where there is none.
    pub(super) async fn existing(&mut self, prompt: &str) -> Result<Password, Failure> {
        let password = match self {
            Self::Lines(lines, place) => lines.pop_front().ok_or_else(|| missing(place))?,
            Self::Prompt => ask(prompt).await?,
        };
        if password.0.is_empty() { Err(empty()) } else { Ok(password) }
    }

    /// A password to be; a person types it twice.
    ///
    /// # Errors
    /// A data [`Failure`] where there is none, or the two differ.
    pub(super) async fn new_one(&mut self, prompt: &str) -> Result<Password, Failure> {
        let password = self.existing(prompt).await?;
        if matches!(self, Self::Prompt) && ask("The same again: ").await?.0 != password.0 {
            return Err(Failure::data("the two passwords differ").next("run the command again"));
        }
        Ok(password)
    }
}

async fn ask(prompt: &str) -> Result<Password, Failure> {
    let prompt = prompt.to_owned();
    let typed = input::asked(move || match rpassword::prompt_password(prompt) {
        Ok(typed) => Ok(Some(Password(typed))),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
        Err(error) => Err(Failure::data(format!("no password: {error}")).next("or pass --password-file FILE")),
    });
    match typed.await? {
        Some(password) => Ok(password),
        // Ctrl-C: the prompt has raised the signal, which ends the command as it does anywhere else.
        None => std::future::pending().await,
    }
}

fn missing(place: &str) -> Failure {
    Failure::data("there is no password")
        .at(place)
        .next("one password a line; or run the command in a terminal, which asks for it")
}

fn empty() -> Failure {
    Failure::data("the password is empty").next("choose one that is long rather than odd: four random words are good")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::lines(text.as_bytes(), 2, "here".to_owned()).unwrap()
    }

    #[tokio::test]
    async fn a_password_is_a_line_with_its_blanks() {
        let mut source = source(" pass word \r\nnew\nrest");
        assert_eq!(source.existing("").await.unwrap().0, " pass word ");
        assert_eq!(source.new_one("").await.unwrap().0, "new");
        assert_eq!(source.existing("").await.unwrap_err().place.as_deref(), Some("here"));
    }

    #[tokio::test]
    async fn no_password_is_no_password() {
        assert!(source("").existing("").await.is_err());
        assert!(source("\n").existing("").await.is_err());
    }
}
