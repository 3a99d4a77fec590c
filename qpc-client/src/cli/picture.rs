//! A group's picture, read from a file that a person names and written to one; what is in it nobody here looks at.
//!
//! Names of files come from the command line alone: nothing that others sent says where a picture goes.

use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal, Read, Write},
    path::{Path, PathBuf},
};

use qpc_client::api::{Command, GroupPicture, Outcome, Picture, PictureFormat};
use qpc_proto::limits::GROUP_PICTURE_MAX;
use serde::Serialize;

use super::{args::Description, exit::Exit, failure::Failure, hint, screen::Screen, seat::Seat};

/// The question that a typed description is.
///
/// # Errors
/// A [`Failure`] about the picture's file.
pub(super) fn described(group: String, typed: Description) -> Result<Command, Failure> {
    let Description { name, topic, picture, no_picture } = typed;
    let picture = match picture {
        Some(path) => Some(read(&path)?),
        None => no_picture.then(Picture::default),
    };
    Ok(Command::GroupDescribe { group, name, topic, picture })
}

/// No more of it than a picture may have, and one byte that says that there is more.
fn read(path: &Path) -> Result<Picture, Failure> {
    let place = path.display().to_string();
    let unreadable = |error: io::Error| Failure::data(format!("the picture can't be read: {error}")).at(&place);
    let most = u64::try_from(GROUP_PICTURE_MAX).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > GROUP_PICTURE_MAX {
        let what = format!("the picture is larger than a group's picture may be ({} KiB)", GROUP_PICTURE_MAX / 1024);
        return Err(Failure::data(what).at(place).next("make it smaller: 256 by 256 pixels are plenty"));
    }
    match PictureFormat::of(&bytes) {
        Some(_) => Ok(Picture(bytes)),
        None => Err(Failure::data("that is no picture: a group's picture is a PNG, JPEG or WebP").at(place)),
    }
}

/// What `--json` tells of a picture that was written.
#[derive(Serialize)]
struct Written<'a> {
    group: &'a str,
    format: PictureFormat,
    bytes: usize,
    file: String,
}

/// Writes a group's picture out.
///
/// # Errors
/// A [`Failure`]: there is none, a terminal, a file that exists.
pub(super) async fn write(
    seat: &Seat,
    screen: &Screen,
    group: String,
    (output, force): (Option<PathBuf>, bool),
) -> Result<(), Failure> {
    if output.is_none() && (screen.json || io::stdout().is_terminal()) {
        let name = hint::quoted(&group);
        return Err(Failure::usage("a picture is not written to a terminal, nor among JSON")
            .next(format!("{} group picture {name} -o FILE", hint::program())));
    }
    let Outcome::Picture(GroupPicture { group, format, picture }) =
        seat.execute(Command::GroupPicture { group }).await?
    else {
        return Err(Failure::internal("the picture is an answer of another kind"));
    };
    let Some(path) = output else {
        let mut out = io::stdout().lock();
        out.write_all(&picture.0)?;
        return Ok(out.flush()?);
    };
    put(&path, force, &picture.0)?;
    let file = path.display().to_string();
    if screen.json {
        return Ok(screen.object(&Written { group: &group, format, bytes: picture.0.len(), file })?);
    }
    screen.done(&format!("wrote the picture of {group}, a {}, to {file}", format.name()));
    Ok(())
}

fn put(path: &Path, force: bool, bytes: &[u8]) -> Result<(), Failure> {
    let place = path.display().to_string();
    let mut options = OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let mut file = options.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::usage("the file exists, and is left as it is").at(&place).next("--force replaces it")
        }
        _ => Failure::new(Exit::Data, format!("the picture can't be written: {error}")).at(&place),
    })?;
    file.write_all(bytes)
        .map_err(|error| Failure::new(Exit::Data, format!("the picture can't be written: {error}")).at(place))
}
