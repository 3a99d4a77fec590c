//! Tests of the whole server, from its domains to the built program: one binary, one file for
//! each theme. Ports are zero, directories temporary, and nothing waits for time to pass.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
#![allow(clippy::arithmetic_side_effects, reason = "tests")]

#[path = "server/accounts.rs"]
mod accounts;
#[path = "server/acknowledged.rs"]
mod acknowledged;
#[path = "server/acme.rs"]
mod acme;
#[path = "server/across.rs"]
mod across;
#[path = "server/authority.rs"]
mod authority;
#[path = "server/backups.rs"]
mod backups;
#[path = "server/beside.rs"]
mod beside;
#[path = "server/blobs.rs"]
mod blobs;
#[path = "server/bots.rs"]
mod bots;
#[path = "server/broken_files.rs"]
mod broken_files;
#[path = "server/canary.rs"]
mod canary;
#[path = "server/capacity.rs"]
mod capacity;
#[path = "server/chat.rs"]
mod chat;
#[path = "server/circle.rs"]
mod circle;
#[path = "server/claims.rs"]
mod claims;
#[path = "server/devices.rs"]
mod devices;
#[path = "server/disappearing.rs"]
mod disappearing;
#[path = "server/doctor.rs"]
mod doctor;
#[path = "server/door.rs"]
mod door;
#[path = "server/edge.rs"]
mod edge;
#[path = "../../qpc-client/tests/program/emulator.rs"]
mod emulator;
#[path = "server/ephemerals.rs"]
mod ephemerals;
#[path = "server/exported.rs"]
mod exported;
#[path = "server/false_follower.rs"]
mod false_follower;
#[path = "server/false_hub.rs"]
mod false_hub;
#[path = "server/far_files.rs"]
mod far_files;
#[path = "server/federation.rs"]
mod federation;
#[path = "server/files.rs"]
mod files;
#[path = "server/full_screen.rs"]
mod full_screen;
#[path = "server/garbage.rs"]
mod garbage;
#[path = "server/groups.rs"]
mod groups;
#[path = "server/guests.rs"]
mod guests;
#[path = "../src/group/public/tests/hand.rs"]
mod hand;
#[path = "server/homes.rs"]
mod homes;
#[path = "server/hostile.rs"]
mod hostile;
#[path = "server/house.rs"]
mod house;
#[path = "server/init.rs"]
mod init;
#[path = "server/inside.rs"]
mod inside;
#[path = "server/kept_files.rs"]
mod kept_files;
#[cfg(feature = "s3")]
#[path = "server/kept_in_buckets.rs"]
mod kept_in_buckets;
#[path = "server/later.rs"]
mod later;
#[path = "server/lies.rs"]
mod lies;
#[path = "server/links.rs"]
mod links;
#[path = "server/load.rs"]
mod load;
#[path = "server/logins.rs"]
mod logins;
#[path = "server/lost_hub.rs"]
mod lost_hub;
#[path = "server/manuals.rs"]
mod manuals;
#[path = "server/meeting.rs"]
mod meeting;
#[path = "server/messages.rs"]
mod messages;
#[path = "server/moments.rs"]
mod moments;
#[path = "../src/blob_store/objects/tests/bucket/named.rs"]
mod named;
#[path = "server/net.rs"]
mod net;
#[path = "server/nodes.rs"]
mod nodes;
#[path = "server/operator.rs"]
mod operator;
#[path = "server/peer.rs"]
mod peer;
#[path = "server/people.rs"]
mod people;
#[path = "server/person.rs"]
mod person;
#[path = "server/pictures.rs"]
mod pictures;
#[path = "server/program.rs"]
mod program;
#[path = "server/races.rs"]
mod races;
#[path = "server/released.rs"]
mod released;
#[path = "server/reload.rs"]
mod reload;
#[path = "server/repair.rs"]
mod repair;
#[path = "server/restored.rs"]
mod restored;
#[path = "server/restored_nodes.rs"]
mod restored_nodes;
#[path = "server/rich.rs"]
mod rich;
#[path = "server/roaming.rs"]
mod roaming;
#[path = "server/roots.rs"]
mod roots;
#[path = "server/sabotage.rs"]
mod sabotage;
#[path = "server/safety.rs"]
mod safety;
#[path = "server/searching.rs"]
mod searching;
#[path = "server/setups.rs"]
mod setups;
#[path = "server/stopping.rs"]
mod stopping;
#[path = "server/suites.rs"]
mod suites;
#[path = "server/supervised.rs"]
mod supervised;
#[path = "../../qpc-client/tests/program/terminal.rs"]
mod terminal;
#[path = "server/traced.rs"]
mod traced;
#[path = "server/verify.rs"]
mod verify;
#[path = "server/wire.rs"]
mod wire;
