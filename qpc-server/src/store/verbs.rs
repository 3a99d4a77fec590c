//! The verbs' decisions, once for all adapters: each looks first, then writes.
//!
//! A verb runs inside one transaction of its adapter. A refusal leaves no trace, because
//! every check comes before the first write; an engine fault is undone by the adapter. One exception is
//! deliberate: creating a direct conversation that exists accepts the peer before it is refused.

mod account;
mod append;
mod consent;
mod contact;
mod continuation;
mod conversation;
mod copy;
mod departure;
mod device;
mod follower;
mod group;
mod guest;
mod inbox;
mod key_package;
mod link;
mod membership;
pub(super) mod operator;
mod outgoing;
mod read;
mod reset;
mod restore;
mod upkeep;

pub(super) use self::{
    account::{change_password, check_invite, create_account, create_invite, login_record, set_decoy},
    append::{append, commit},
    contact::{answer_contact, list_contacts},
    conversation::create_conversation,
    copy::{copy, copy_place, take_notices},
    departure::{departures, hub_group, propose_removal, settle_departure},
    device::{certificates, device, enrol_device, list_devices, revoke_device, touch_device},
    follower::{base_tree, feed, feed_page, follower_lacks, followers_have, follows, peer_restored, read_copy},
    group::{public_group, welcome_tree},
    guest::{admit_guest, guest_gone},
    key_package::{claim_key_packages, claim_key_packages_for_peer, count_key_packages, publish_key_packages},
    link::{ask_to_join, join_requests, set_link},
    outgoing::{announced, backlog, due, queue, settle, unqueue},
    read::{hearers, list_conversations, positions, presence, read_log, record_cursors},
    reset::{delete_account, reset_account},
    restore::{await_offers, awaited, awaited_of, log_end, offer, restored, take_back},
    upkeep::{count_accounts, figures, probe, retention_step},
};
use qpc_proto::address::Address;

use super::{
    Actor, Refusal, StoreFault,
    tables::{AccountRow, Tables},
};

/// Is the acting device enrolled (invariant 12), and its account not suspended?
fn present(tables: &mut dyn Tables, actor: &Actor) -> Result<(), Refusal> {
    match tables.device(actor.device())? {
        Some(device) if device.account == actor.account() && device.suspended => Err(Refusal::Suspended),
        Some(device) if device.account == actor.account() => Ok(()),
        _ => Err(Refusal::DeviceGone),
    }
}

/// The account at an address, if it is one of this server's own and somebody has it, suspended or not.
fn active(tables: &mut dyn Tables, address: &Address) -> Result<Option<AccountRow>, StoreFault> {
    Ok(tables.account_at(address)?.filter(|account| account.state.is_had()))
}

/// The account at an address, if it can take part in conversations: one of this server's own, or a guest.
fn participant(tables: &mut dyn Tables, address: &Address) -> Result<Option<AccountRow>, StoreFault> {
    Ok(tables.account_at(address)?.filter(|account| account.state.takes_part()))
}
