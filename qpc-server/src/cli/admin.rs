//! `qpc-server admin`: what the operator asks of a server, and its audit log.

pub(super) mod args;
mod show;

use std::{collections::VecDeque, path::Path};

use self::args::{
    AccountsCommand, AdminCommand, AuditCommand, AuditShowArgs, ConversationsCommand, DevicesCommand, InvitesCommand,
    ListArgs, SessionsCommand,
};
use super::{
    args::Place,
    commands::{administer, create_invite, reset_account},
    exit::{Exit, Fault},
    print,
    serve::load,
};
use crate::admin::{self, AdminAnswer, AdminRequest, Audited, Trouble};

/// Does what was typed after `admin`.
pub(super) fn obey(place: &Place, command: &AdminCommand) -> Result<(), Fault> {
    match command {
        AdminCommand::Accounts(command) => accounts(place, command),
        AdminCommand::Devices(DevicesCommand::List(args)) => {
            tell(place, AdminRequest::ShowAccount { name: args.name.clone() }, args.json, "")
        }
        AdminCommand::Devices(DevicesCommand::Revoke(args)) => {
            let (name, device, dry_run) = (args.name.clone(), args.device.clone(), args.dry_run);
            tell(place, AdminRequest::RevokeDevice { name, device, dry_run }, args.json, "the device is revoked")
        }
        AdminCommand::Sessions(SessionsCommand::List(args)) => {
            list(place, args, |after, limit| AdminRequest::ListSessions { after, limit })
        }
        AdminCommand::Kick(args) => {
            let request = AdminRequest::Kick { name: args.name.clone(), device: args.device.clone() };
            tell(place, request, args.json, "who was connected is sent away")
        }
        AdminCommand::Invites(InvitesCommand::Create(args)) => create_invite(place, args),
        AdminCommand::Invites(InvitesCommand::List(args)) => {
            list(place, args, |after, limit| AdminRequest::ListInvites { after, limit })
        }
        AdminCommand::Invites(InvitesCommand::Revoke(args)) => {
            let request = AdminRequest::RevokeInvite { id: args.id.clone(), dry_run: args.dry_run };
            tell(place, request, args.json, "the invite is ended")
        }
        AdminCommand::Conversations(ConversationsCommand::List(args)) => {
            list(place, args, |after, limit| AdminRequest::ListConversations { after, limit })
        }
        AdminCommand::Conversations(ConversationsCommand::Show(args)) => {
            tell(place, AdminRequest::ShowConversation { name: args.conversation.clone() }, args.json, "")
        }
        AdminCommand::Limits(args) => tell(place, AdminRequest::ShowLimits, args.json, ""),
        AdminCommand::Quotas(args) => {
            let answer = administer(place, AdminRequest::ShowAccount { name: args.name.clone() })?;
            match &answer {
                AdminAnswer::Account(account) if !args.json => print(&show::files(account)),
                answer => print(&json(answer)?),
            }
        }
        AdminCommand::LogLevel(args) => {
            let request = match args.level.clone() {
                Some(level) => AdminRequest::SetLogLevel { level },
                None => AdminRequest::ShowLogLevel,
            };
            tell(place, request, args.json, "")
        }
        AdminCommand::Drain(args) => {
            tell(place, AdminRequest::Drain { dry_run: args.dry_run }, args.json, "the server drains and ends")
        }
        AdminCommand::Audit(AuditCommand::Show(args)) => show_audit(place, args),
        AdminCommand::Audit(AuditCommand::Verify(args)) => verify_audit(place, args.json),
    }
}

fn accounts(place: &Place, command: &AccountsCommand) -> Result<(), Fault> {
    match command {
        AccountsCommand::List(args) => list(place, args, |after, limit| AdminRequest::ListAccounts { after, limit }),
        AccountsCommand::Show(args) => {
            tell(place, AdminRequest::ShowAccount { name: args.name.clone() }, args.json, "")
        }
        AccountsCommand::Suspend(args) => {
            let request = AdminRequest::SuspendAccount { name: args.name.clone(), dry_run: args.dry_run };
            let done = format!(
                "{} is suspended, and nothing of it is lost: `qpc-server admin accounts resume {0}` lets it in again",
                args.name
            );
            tell(place, request, args.json, &done)
        }
        AccountsCommand::Resume(args) => {
            let done = format!("{} may come in again; its clients try by themselves, each minute or so", args.name);
            tell(place, AdminRequest::ResumeAccount { name: args.name.clone() }, args.json, &done)
        }
        AccountsCommand::Delete(args) => {
            let request = AdminRequest::DeleteAccount { name: args.name.clone(), dry_run: args.dry_run };
            tell(place, request, args.json, &format!("{} is deleted", args.name))
        }
        AccountsCommand::Reset(args) if args.dry_run => {
            let name = args.reset.name.clone();
            tell(place, AdminRequest::ResetAccount { name, dry_run: true }, args.reset.json, "")
        }
        AccountsCommand::Reset(args) => reset_account(place, &args.reset),
    }
}

fn list(
    place: &Place,
    args: &ListArgs,
    request: impl FnOnce(Option<String>, usize) -> AdminRequest,
) -> Result<(), Fault> {
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    tell(place, request(args.after.clone(), limit), args.json, "")
}

/// Asks, and prints the answer; `done` is what to say of a change that was made.
pub(super) fn tell(place: &Place, request: AdminRequest, as_json: bool, done: &str) -> Result<(), Fault> {
    let answer = administer(place, request)?;
    print(&if as_json { json(&answer)? } else { show::text(&answer, done) })
}

/// An answer as one line, without the name of its kind.
fn json(answer: &AdminAnswer) -> Result<String, Fault> {
    let mut value = serde_json::to_value(answer).map_err(|error| Fault::new(Exit::Internal, error))?;
    if let Some(object) = value.as_object_mut() {
        object.remove("answer");
    }
    Ok(format!("{value}\n"))
}

/// `admin audit show`.
fn show_audit(place: &Place, args: &AuditShowArgs) -> Result<(), Fault> {
    let last = usize::try_from(args.last).unwrap_or(usize::MAX);
    let mut entries = VecDeque::new();
    read(&load(place, None, None)?.config.server.data_dir, &mut |entry| {
        if entries.len() >= last {
            entries.pop_front();
        }
        entries.push_back(entry);
    })?;
    if !args.json {
        return print(&show::audit(entries.iter()));
    }
    let lines = entries.iter().map(|entry| serde_json::to_string(entry).map(|line| line + "\n"));
    let lines: Result<String, _> = lines.collect();
    print(&lines.map_err(|error| Fault::new(Exit::Internal, error))?)
}

/// `admin audit verify`.
fn verify_audit(place: &Place, as_json: bool) -> Result<(), Fault> {
    let found = read(&load(place, None, None)?.config.server.data_dir, &mut |_| ())?;
    let Audited { entries, first, head, troubles, bytes, .. } = &found;
    if as_json {
        let troubles: Vec<_> = troubles
            .iter()
            .map(|Trouble { file, line, fault }| {
                serde_json::json!({ "file": file, "line": line, "problem": fault.to_string() })
            })
            .collect();
        let line = serde_json::json!({
            "entries": entries, "first": first, "seq": head.seq, "hash": head.hash, "bytes": bytes, "troubles": troubles,
        });
        print(&format!("{line}\n"))?;
    }
    if !troubles.is_empty() {
        let named = troubles.iter().map(|Trouble { file, line, fault }| format!("{}:{line}: {fault}", file.display()));
        return Err(Fault::new(Exit::Damaged, named.collect::<Vec<_>>().join("\nqpc-server: ")));
    }
    if as_json {
        return Ok(());
    }
    let Some(first) = first else { return print("nothing was done yet\n") };
    print(&format!(
        "sound: {entries} lines from {first} to {}, {bytes} bytes. The last one's hash is\n{}\n\
         Compare it with a copy of the server's logs that is kept elsewhere: whoever can write the file can write all of it anew.\n",
        head.seq, head.hash
    ))
}

fn read(directory: &Path, each: &mut dyn FnMut(admin::AuditEntry)) -> Result<Audited, Fault> {
    admin::read_audit(directory, each).map_err(|error| {
        Fault::new(Exit::Io, format!("the audit log in {} can't be read: {error}", directory.display()))
    })
}
