//! The command line of `qpc-server`: what is typed, what is done, and how it ends.
//!
//! Arguments are read here, resolved into a configuration by `config`, and then one of the
//! commands below runs. Standard output carries what was asked for; logs and faults go to
//! standard error.

mod admin;
mod announce;
mod args;
mod backup;
mod capacity;
mod certificate;
mod client_lines;
mod commands;
mod doctor;
mod exit;
mod federation;
mod hygiene;
mod in_force;
mod init;
mod opaque;
mod pages;
mod progress;
mod serve;
mod table;
mod why_slow;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;

use self::{
    args::{AccountCommand, Cli, Command, ConfigCommand, DbCommand, FederationCommand, InviteCommand},
    exit::{Exit, Fault},
};
use crate::config::annotated;

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    hygiene::harden();
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => Exit::Ok.into(),
        Err(fault) => {
            // Nowhere is left to say that standard error is closed.
            _ = writeln!(io::stderr(), "qpc-server: {}", fault.message);
            fault.exit.into()
        }
    }
}

fn run(cli: Cli) -> Result<(), Fault> {
    let Cli { place, serve, command } = cli;
    match command {
        None => serve::serve(&place, &serve),
        Some(Command::Admin(command)) => admin::obey(&place, &command),
        Some(Command::Invite(InviteCommand::Create(args))) => commands::create_invite(&place, &args),
        Some(Command::Account(AccountCommand::Reset(args))) => commands::reset_account(&place, &args),
        Some(Command::Config(ConfigCommand::Check { file })) => commands::check_config(&file),
        Some(Command::Config(ConfigCommand::Default)) => print(&annotated()),
        Some(Command::Config(ConfigCommand::Show(args))) => commands::show_config(&place, &args),
        Some(Command::Config(ConfigCommand::Diff(args))) => commands::diff_config(&place, &args),
        Some(Command::Db(DbCommand::Check(args))) => commands::check_database(&place, &args),
        Some(Command::Db(DbCommand::ChangeKey(args))) => commands::change_key(&place, &args),
        Some(Command::Opaque(command)) => opaque::obey(&place, &command),
        Some(Command::Backup(command)) => backup::obey(&place, &command),
        Some(Command::Federation(FederationCommand::InitCa)) => federation::init_ca(&place),
        Some(Command::Federation(FederationCommand::Issue(args))) => federation::issue(&place, &args),
        Some(Command::Federation(FederationCommand::Status(args))) => federation::status(&place, &args),
        Some(Command::Doctor(args)) => doctor::doctor(&place, &args),
        Some(Command::WhySlow(args)) => why_slow::why_slow(&place, &args),
        Some(Command::Completions { shell }) => print_page(&pages::completions(shell)),
        Some(Command::Man) => print_page(&pages::manual().map_err(|error| Fault::new(Exit::Internal, error))?),
        Some(Command::Init(args)) => init::init(&place, &args),
        Some(Command::Capacity(args)) => capacity::capacity(&args),
        Some(Command::Health) => commands::health(&place),
    }
}

/// Writes what was asked for.
fn print(text: &str) -> Result<(), Fault> {
    print_page(text.as_bytes())
}

fn print_page(page: &[u8]) -> Result<(), Fault> {
    let mut out = io::stdout().lock();
    out.write_all(page).and_then(|()| out.flush()).map_err(|error| Fault::new(Exit::Io, error))
}
