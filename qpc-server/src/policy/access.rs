//! What standing each method needs. One match without a default arm: a new method does not
//! compile until somebody has decided who may call it.

use qpc_proto::v1::{self, request::Method};

/// What a frame that holds no method of ours is called in metrics.
pub const NO_METHOD: &str = "none";

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

/// A rate that slows down and refuses nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Of messages.
    Message,
    /// Of parts and ranges of blobs.
    Transfer,
    /// Of changes of groups, each of which takes a thread for up to some twenty milliseconds.
    Change,
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
    /// To which rate of the account it is slowed down.
    pub pace: Option<Pace>,
    /// It carries a blob: its stream comes after all others of its connection, and has a budget of its own.
    pub bulk: bool,
}

/// Whether it is a proposal that is sent: it is judged before it is stored. Messages and reports are not.
#[must_use]
pub fn is_proposal(send: &v1::Send) -> bool {
    send.kind == i32::from(v1::EntryKind::Proposal)
}

macro_rules! rules {
    ($($method:ident = $name:literal, $standing:ident, $order:ident;)+) => {
        /// All names of methods in metrics.
        pub const NAMES: &[&str] = &[NO_METHOD, $($name,)+];

        /// The rule of a method.
        #[must_use]
        pub fn rule(method: &Method) -> Rule {
            let (name, standing, order) = match method {
                $(Method::$method(_) => ($name, Standing::$standing, Order::$order),)+
            };
            let (order, pace) = match method {
                // What is behind a proposal on a stream is stored behind it, as behind a commit.
                Method::Send(send) if is_proposal(send) => (Order::Alone, Some(Pace::Change)),
                Method::Send(_) => (order, Some(Pace::Message)),
                Method::SubmitCommit(_) => (order, Some(Pace::Change)),
                Method::UploadPart(_) | Method::ReadBlob(_) => (order, Some(Pace::Transfer)),
                _ => (order, None),
            };
            let bulk = matches!(method, Method::BeginUpload(_) | Method::UploadPart(_) | Method::ReadBlob(_));
            Rule { name, standing, order, pace, bulk }
        }
    };
}

rules! {
    Hello = "hello", Greeting, Alone;
    RegisterStart = "register_start", Anonymous, Alone;
    RegisterFinish = "register_finish", Anonymous, Alone;
    LoginStart = "login_start", Anybody, Alone;
    LoginFinish = "login_finish", Anybody, Alone;
    EnrolDevice = "enrol_device", Anonymous, Alone;
    Authenticate = "authenticate", Anonymous, Alone;
    ChangePasswordStart = "change_password_start", Session, Alone;
    ChangePasswordFinish = "change_password_finish", Session, Alone;
    DeleteAccount = "delete_account", Session, Alone;
    ListDevices = "list_devices", Session, Alone;
    RevokeDevice = "revoke_device", Session, Alone;
    PublishKeyPackages = "publish_key_packages", Session, Pipelined;
    ClaimKeyPackages = "claim_key_packages", Session, Pipelined;
    CountKeyPackages = "count_key_packages", Session, Pipelined;
    CreateConversation = "create_conversation", Session, Alone;
    SubmitCommit = "submit_commit", Session, Alone;
    Send = "send", Session, Pipelined;
    ReadLog = "read_log", Session, Pipelined;
    ListConversations = "list_conversations", Session, Pipelined;
    ReadGroup = "read_group", Session, Pipelined;
    Offer = "offer", Session, Alone;
    SetLink = "set_link", Session, Pipelined;
    AskToJoin = "ask_to_join", Session, Pipelined;
    ListJoinRequests = "list_join_requests", Session, Pipelined;
    AnswerContact = "answer_contact", Session, Pipelined;
    ListContacts = "list_contacts", Session, Pipelined;
    Sync = "sync", Session, Takeover;
    Follow = "follow", SyncStream, Takeover;
    Acknowledge = "acknowledge", SyncStream, Takeover;
    Ephemeral = "ephemeral", SyncStream, Takeover;
    BeginUpload = "begin_upload", Session, Pipelined;
    UploadPart = "upload_part", Session, Pipelined;
    FinishUpload = "finish_upload", Session, Pipelined;
    ReadBlob = "read_blob", Session, Pipelined;
    ReleaseBlob = "release_blob", Session, Pipelined;
}
