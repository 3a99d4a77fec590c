//! Generates the message types from the schema, without protoc.

use std::io;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["proto/qpc/v1/wire.proto", "proto/qpc/v1/content.proto", "proto/qpc/v1/federation.proto"];
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(files, ["proto"]).map_err(io::Error::other)?;
    prost_build::Config::new().bytes(["."]).skip_debug(REDACTED).compile_fds(descriptors)?;
    Ok(())
}

/// Messages that carry secrets or people's words get their `Debug` from `redacted.rs`,
/// which prints the type's name alone.
const REDACTED: [&str; 33] = [
    ".qpc.v1.RegisterStart",
    ".qpc.v1.RegisterFinish",
    ".qpc.v1.LoginStart",
    ".qpc.v1.LoginStartAnswer",
    ".qpc.v1.LoginFinish",
    ".qpc.v1.LoginFinishAnswer",
    ".qpc.v1.ChangePasswordStart",
    ".qpc.v1.ChangePasswordFinish",
    ".qpc.v1.Send",
    ".qpc.v1.Entry",
    ".qpc.v1.Entry.content",
    ".qpc.v1.CommitBundle",
    ".qpc.v1.WelcomeNotice",
    ".qpc.v1.Text",
    ".qpc.v1.Edit",
    ".qpc.v1.Mention",
    ".qpc.v1.Reaction",
    ".qpc.v1.Poll",
    ".qpc.v1.Vote",
    ".qpc.v1.Attachment",
    ".qpc.v1.GroupState",
    ".qpc.v1.GroupLinks",
    ".qpc.v1.GroupLink",
    ".qpc.v1.OwnDevices",
    ".qpc.v1.ReadUpTo",
    ".qpc.v1.VerificationMark",
    ".qpc.v1.HistoryPage",
    ".qpc.v1.HistoryConversation",
    ".qpc.v1.HistoryMessage",
    ".qpc.v1.MessageState",
    ".qpc.v1.EmojiState",
    ".qpc.v1.VoteState",
    ".qpc.v1.Presently",
];
