//! Copies of what a server keeps, made while it runs: to a directory or a bucket, whole or of what has changed since.
//!
//! A backup is a folder. Its databases are copied as the encrypted bytes that they are, in chunks; the secrets beside them are
//! sealed. The manifest is written last: a folder without one is no backup. It names the digest of everything and carries
//! a code that only those can make who have the database's key, so that a changed byte, a missing part and a forged backup are
//! all refused. The key itself is in no backup.
//!
//! Attachments that are objects are copied as such, once for all backups of a place; a backup names those that it needs.
//!
//! It runs in a process of its own, beside the server (see [`Frozen`](crate::store::sqlite::Frozen)).

mod attachments;
mod bring_back;
mod chunks;
mod contents;
mod create;
mod error;
mod manifest;
mod name;
mod place;
mod pool;
mod restore;
mod retention;
mod seal;
mod secrets;
mod target;

pub use self::{
    bring_back::Damaged,
    create::{Created, Of, Wish, create},
    error::BackupError,
    manifest::Manifest,
    name::{Kind, Name},
    place::Backups,
    restore::{Objects, Restored, Verified, restore, verify},
    retention::{Keep, collect, prune},
};

/// What a manifest says where the bytes of attachments are in the database of blobs, and so in the backup.
pub const BLOBS_HERE: &str = "database";

/// What hears how many bytes of how many are done.
pub type Told<'a> = &'a mut dyn FnMut(u64, u64);
