//! What standing each method needs. One match without a default arm: a new method does not
//! compile until somebody has decided who may call it.

use qpc_proto::v1::request::Method;

/// What a connection must have proved, or what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing at all: the first request of a connection.
    Greeting,
    /// Nothing, and only while nothing is proved: the steps towards a session.
    Anonymous,
    /// Nothing or a device: proving a password is a step of both.
    Anybody,
    /// A device.
    Session,
    /// A device, on the stream of a sync call.
    SyncStream,
}

/// How a request stands to its neighbours on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// It enters the store's queue when it is read, and waits for its answer beside others.
    Pipelined,
    /// It begins when all before it are answered, and those after it begin when it is.
    Alone,
    /// It takes the stream over.
    Takeover,
}

/// What applies to a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Its name in metrics.
    pub name: &'static str,
    /// Who may call it.
    pub standing: Standing,
    /// When it begins.
    pub order: Order,
    /// Whether it is slowed down to the account's rate of messages.
    pub paced: bool,
}

/// The rule of a method.
#[must_use]
pub fn rule(method: &Method) -> Rule {
    use Order::{Alone, Pipelined, Takeover};
    use Standing::{Anonymous, Anybody, Greeting, Session, SyncStream};
    let (name, standing, order) = match method {
        Method::Hello(_) => ("hello", Greeting, Alone),
        Method::RegisterStart(_) => ("register_start", Anonymous, Alone),
        Method::RegisterFinish(_) => ("register_finish", Anonymous, Alone),
        Method::LoginStart(_) => ("login_start", Anybody, Alone),
        Method::LoginFinish(_) => ("login_finish", Anybody, Alone),
        Method::EnrolDevice(_) => ("enrol_device", Anonymous, Alone),
        Method::Authenticate(_) => ("authenticate", Anonymous, Alone),
        Method::ChangePasswordStart(_) => ("change_password_start", Session, Alone),
        Method::ChangePasswordFinish(_) => ("change_password_finish", Session, Alone),
        Method::DeleteAccount(_) => ("delete_account", Session, Alone),
        Method::ListDevices(_) => ("list_devices", Session, Alone),
        Method::RevokeDevice(_) => ("revoke_device", Session, Alone),
        Method::PublishKeyPackages(_) => ("publish_key_packages", Session, Pipelined),
        Method::ClaimKeyPackages(_) => ("claim_key_packages", Session, Pipelined),
        Method::CountKeyPackages(_) => ("count_key_packages", Session, Pipelined),
        Method::CreateConversation(_) => ("create_conversation", Session, Pipelined),
        Method::SubmitCommit(_) => ("submit_commit", Session, Pipelined),
        Method::Send(_) => ("send", Session, Pipelined),
        Method::ReadLog(_) => ("read_log", Session, Pipelined),
        Method::ListConversations(_) => ("list_conversations", Session, Pipelined),
        Method::AnswerContact(_) => ("answer_contact", Session, Pipelined),
        Method::ListContacts(_) => ("list_contacts", Session, Pipelined),
        Method::Sync(_) => ("sync", Session, Takeover),
        Method::Follow(_) => ("follow", SyncStream, Takeover),
        Method::Acknowledge(_) => ("acknowledge", SyncStream, Takeover),
    };
    let paced = matches!(method, Method::Send(_) | Method::SubmitCommit(_));
    Rule { name, standing, order, paced }
}
