//! What the process denies itself before it holds a secret.

use rustix::{
    fs::Mode,
    process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask},
};

/// No core dumps, no other process of this user looking into the memory, files for the owner alone.
/// What the system does not know or allow is left as it is.
pub(super) fn harden() {
    umask(Mode::RWXG | Mode::RWXO);
    // Where the system refuses, it is no less safe than any other program.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).ok();
    set_dumpable_behavior(DumpableBehavior::NotDumpable).ok();
}
