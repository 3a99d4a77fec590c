//! What the operator is shown, for people: tables and sentences.

use crate::{
    admin::{
        AccountDetail, AccountRow, AdminAnswer, AuditEntry, ConversationRow, ConversationShown, InviteRow, Losses,
        SessionRow, SetupRow,
    },
    cli::table::{NOTHING, count, day, moment, or_nothing, plain, table},
};

/// Any answer.
pub(super) fn text(answer: &AdminAnswer, done: &str) -> String {
    match answer {
        AdminAnswer::Done { sessions: 0 } => format!("{done}.\n"),
        AdminAnswer::Done { sessions } => format!("{done}; {} ended.\n", count(*sessions as u64, "session")),
        AdminAnswer::Would(losses) => would(losses),
        AdminAnswer::Accounts { accounts: rows, more } => {
            accounts(rows) + &onwards(*more, rows.last().map(|row| row.name.as_str()))
        }
        AdminAnswer::Account(account) => detail(account),
        AdminAnswer::Sessions { sessions: rows, total, more } => {
            let total = format!("{} in all\n", count(*total as u64, "session"));
            sessions(rows) + &total + &onwards(*more, rows.last().map(|row| row.account.as_str()))
        }
        AdminAnswer::Invites { invites: rows, more } => {
            invites(rows) + &onwards(*more, rows.last().map(|row| row.id.as_str()))
        }
        AdminAnswer::Conversations { conversations: rows, more } => {
            conversations(rows) + &onwards(*more, rows.last().map(|row| row.conversation.as_str()))
        }
        AdminAnswer::Conversation(shown) => conversation(shown),
        AdminAnswer::Limits { limits } => {
            limits.iter().map(|setting| format!("{} = {}\n", setting.key, setting.value)).collect()
        }
        AdminAnswer::LogLevel { level } => format!("{level}\n"),
        AdminAnswer::Setups { setups: rows } => setups(rows),
        AdminAnswer::Rotated { version } => format!("{done} {version}.\n"),
        AdminAnswer::WouldRetire { accounts } => {
            format!("{} would be reset. Nothing was changed.\n", count(*accounts, "account"))
        }
        AdminAnswer::Retired { .. }
        | AdminAnswer::Token { .. }
        | AdminAnswer::Federation { .. }
        | AdminAnswer::NotFound
        | AdminAnswer::NoServer
        | AdminAnswer::Malformed { .. }
        | AdminAnswer::Failed { .. } => String::new(),
    }
}

fn would(losses: &Losses) -> String {
    let Losses { devices, sessions, memberships, uses } = *losses;
    let parts =
        [(devices as u64, "device"), (sessions as u64, "session"), (memberships, "membership"), (uses.into(), "use")];
    let parts: Vec<String> =
        parts.into_iter().filter(|(number, _)| *number > 0).map(|(number, what)| count(number, what)).collect();
    let what = if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") };
    format!("would end: {what}. Nothing was changed.\n")
}

fn onwards(more: bool, last: Option<&str>) -> String {
    match last.filter(|_| more) {
        Some(last) => format!("there may be more: --after {last}\n"),
        None => String::new(),
    }
}

fn accounts(rows: &[AccountRow]) -> String {
    let cells = rows
        .iter()
        .map(|row| [row.name.clone(), row.state.clone(), row.devices.to_string(), or_nothing(row.last_seen_ms, day)]);
    table(["name", "state", "devices", "last seen"], &cells.collect::<Vec<_>>())
}

fn detail(account: &AccountDetail) -> String {
    let devices = account.devices.iter().map(|device| {
        [
            device.device.clone(),
            plain(&device.name),
            day(device.enrolled_ms),
            day(device.last_seen_ms),
            or_nothing(device.sessions, |sessions| sessions.to_string()),
        ]
    });
    let devices = table(["device", "name", "enrolled", "last seen", "sessions"], &devices.collect::<Vec<_>>());
    format!(
        "{}: {}, in {}\n{}\n{devices}",
        account.address,
        account.state,
        count(account.conversations, "conversation"),
        files(account),
    )
}

/// Files of an account against its quota.
pub(super) fn files(account: &AccountDetail) -> String {
    let AccountDetail { blob_bytes, blob_bytes_max, blobs, blobs_max, .. } = account;
    format!("files: {blob_bytes} of {blob_bytes_max} bytes, {blobs} of {blobs_max} files\n")
}

fn sessions(rows: &[SessionRow]) -> String {
    let cells = rows.iter().map(|row| {
        let behind = match row.logs_behind {
            Some(0) => NOTHING.to_owned(),
            Some(logs) => count(logs as u64, "log"),
            None => "everything".to_owned(),
        };
        [
            row.account.clone(),
            row.device.clone(),
            row.from.clone().unwrap_or_else(|| NOTHING.into()),
            or_nothing(row.since_ms, moment),
            if row.syncs { "yes" } else { NOTHING }.to_owned(),
            row.queued.to_string(),
            behind,
        ]
    });
    table(["account", "device", "from", "since", "reads", "queued", "behind"], &cells.collect::<Vec<_>>())
}

fn invites(rows: &[InviteRow]) -> String {
    let cells = rows.iter().map(|row| {
        let whose = row.name.as_ref().map_or_else(|| NOTHING.to_owned(), |name| format!("reset of {name}"));
        [row.id.clone(), row.uses.to_string(), or_nothing(row.expires_ms, moment), whose]
    });
    table(["id", "uses left", "ends", "for"], &cells.collect::<Vec<_>>())
}

fn conversation_cells(row: &ConversationRow) -> [String; 6] {
    [
        row.conversation.clone(),
        row.kind.clone(),
        day(row.created_ms),
        row.epoch.to_string(),
        row.members.to_string(),
        row.entries.to_string(),
    ]
}

const CONVERSATION: [&str; 6] = ["conversation", "kind", "created", "epoch", "members", "entries"];

fn conversations(rows: &[ConversationRow]) -> String {
    table(CONVERSATION, &rows.iter().map(conversation_cells).collect::<Vec<_>>())
}

fn conversation(shown: &ConversationShown) -> String {
    let members = shown.members_named.iter().map(|member| [member.account.clone(), member.role.clone()]);
    format!(
        "{}{} bytes of messages\n\n{}",
        table(CONVERSATION, &[conversation_cells(&shown.row)]),
        shown.bytes,
        table(["member", "role"], &members.collect::<Vec<_>>())
    )
}

fn setups(rows: &[SetupRow]) -> String {
    let cells = rows.iter().map(|row| {
        [row.version.to_string(), row.state.clone(), or_nothing(row.made_ms, moment), row.accounts.to_string()]
    });
    table(["setup", "state", "made", "accounts"], &cells.collect::<Vec<_>>())
}

/// Lines of the audit log.
pub(super) fn audit<'e>(entries: impl Iterator<Item = &'e AuditEntry>) -> String {
    let cells = entries.map(|entry| {
        let action = entry.action.as_object();
        let named = action.and_then(|action| action.get("request")).and_then(serde_json::Value::as_str);
        let arguments = action
            .into_iter()
            .flatten()
            .filter(|(key, value)| *key != "request" && !value.is_null() && *value != false);
        let arguments: Vec<String> = arguments.map(|(key, value)| format!("{key}={value}")).collect();
        [
            entry.seq.to_string(),
            moment(entry.at_ms),
            entry.uid.to_string(),
            plain(named.unwrap_or(NOTHING)),
            plain(&entry.outcome),
            plain(&arguments.join(" ")),
        ]
    });
    table(["seq", "at", "uid", "action", "outcome", "arguments"], &cells.collect::<Vec<_>>())
}
