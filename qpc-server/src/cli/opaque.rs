//! `qpc-server opaque`: the secrets that passwords are checked with.

use clap::{Args, Subcommand};

use super::{
    admin::{args::OutputArgs, tell},
    args::Place,
    commands::administer,
    exit::{Exit, Fault},
    print,
};
use crate::admin::{AdminAnswer, AdminRequest};

#[derive(Debug, Subcommand)]
pub(super) enum OpaqueCommand {
    /// Versions, when they were made, and how many accounts still use each.
    List(OutputArgs),
    /// Make a new setup, with which all passwords are registered from now on. The server may be running.
    #[command(long_about = ROTATE)]
    Rotate(OutputArgs),
    /// Forget an older setup, for good. The server may be running.
    #[command(long_about = RETIRE)]
    Retire(RetireArgs),
}

const ROTATE: &str = "\
Make a new setup, with which all passwords are registered from now on. The server may be running.

Nobody notices: passwords that were registered with an older setup work as before, and go over to the new one at the next \
login with the password, or when it is changed. The older setup is needed until then, and stays until `opaque retire`. \
Keep a copy of the file opaque-setup, which is another one now, or make a backup.";

const RETIRE: &str = "\
Forget an older setup, for good. The server may be running.

It is refused while accounts use it. With --reset these are reset, each as by `account reset`: their devices are signed \
out, and the tokens that are printed, which nothing keeps, let their people register again within 7 days. Interrupted, the \
command goes on when it is given again; the audit log names everybody it has reset.";

#[derive(Debug, Args)]
pub(super) struct RetireArgs {
    /// Its version, as `opaque list` shows it.
    version: u32,
    /// Reset the accounts that still use it.
    #[arg(long)]
    reset: bool,
    /// Say how many accounts would be reset, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print a line {"name","token"} for each account and {"retired"} instead of text, with --dry-run {"accounts"}.
    #[arg(long)]
    json: bool,
}

/// Does what was typed after `opaque`.
pub(super) fn obey(place: &Place, command: &OpaqueCommand) -> Result<(), Fault> {
    match command {
        OpaqueCommand::List(args) => tell(place, AdminRequest::ListSetups, args.json, ""),
        OpaqueCommand::Rotate(args) => {
            tell(place, AdminRequest::RotateSetup, args.json, "passwords are registered with OPAQUE setup")
        }
        OpaqueCommand::Retire(args) => retire(place, args),
    }
}

fn retire(place: &Place, args: &RetireArgs) -> Result<(), Fault> {
    let RetireArgs { version, reset, dry_run, json } = *args;
    let request = AdminRequest::RetireSetup { version, reset, dry_run };
    if dry_run {
        return tell(place, request, json, "");
    }
    let mut told = false;
    loop {
        let AdminAnswer::Retired { resets, more } = administer(place, request.clone())? else {
            return Err(Fault::new(Exit::Internal, "the server answered something else"));
        };
        if !json && !resets.is_empty() && !std::mem::replace(&mut told, true) {
            print(
                "These accounts are reset, and their devices signed out. Each token registers its name again, once, within 7\n\
                 days: qpc-client --auth-token TOKEN register NAME\n\n",
            )?;
        }
        for one in &resets {
            print(&match json {
                true => format!("{}\n", serde_json::json!({ "name": one.name, "token": one.token })),
                false => format!("{} {}\n", one.name, one.token),
            })?;
        }
        if !more {
            break;
        }
    }
    print(&match json {
        true => format!("{}\n", serde_json::json!({ "retired": version })),
        false => format!("OPAQUE setup {version} is gone.\n"),
    })
}
