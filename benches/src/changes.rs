//! What a change of a group costs with its size: making it, adding one, joining, removing one, and a message beside them.
//!
//! Its owner is the only one who is connected, so that a message has no deliveries: what is left is what it costs whatever
//! the number of members. The others' key packages are made before the clock runs, because that is the others' work.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use prost::Message as _;
use qpc_client::{
    mls::has_tree,
    wire::{Device, Engine, Invited, Wire},
};
use qpc_proto::{
    id::ConversationName,
    limits::MEMBERS_PER_COMMIT_MAX,
    suite::Suite,
    v1::{self, answer::Result as Answer, request::Method},
};

use crate::{
    accounts,
    latency::Latencies,
    layout::Layout,
    outcome::Outcome,
    progress::Progress,
    random::{Random, unix_ms},
    report::Report,
    sampler::{Cost, Reading, ServerPid},
    talk::Common,
};

/// Groups of each size: so many members in all, but no fewer groups than the least, nor more than the most.
const MEMBERS_IN_ALL: u32 = 4_000;
const GROUPS: (u32, u32) = (8, 50);
/// Messages sent into each group.
const MESSAGES: u32 = 25;
/// Bytes of a message.
const TEXT: usize = 40;

/// One group, by its owner's side.
struct Group {
    name: ConversationName,
    engine: Engine,
    counter: u64,
    epoch: u64,
}

/// One kind of change, done in every group.
struct Phase {
    cost: Cost,
    ops: u32,
    /// What the owner's device took for each.
    client: Duration,
    /// What it sent for each, in bytes.
    bytes: usize,
    /// The commits in it, which every member reads.
    commits: usize,
    latencies: Latencies,
}

impl Phase {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            cost: Cost::default(),
            ops: 0,
            client: Duration::ZERO,
            bytes: 0,
            commits: 0,
            latencies: Latencies::new()?,
        })
    }

    fn each(&self, whole: f64) -> f64 {
        whole / f64::from(self.ops.max(1))
    }

    /// Makes something on the owner's device.
    fn made<T, E: std::error::Error + Send + Sync + 'static>(
        &mut self,
        make: impl FnOnce() -> Result<T, E>,
    ) -> anyhow::Result<T> {
        let began = Instant::now();
        let made = make()?;
        self.client = self.client.saturating_add(began.elapsed());
        Ok(made)
    }

    /// Shows it to the server.
    async fn shown(&mut self, wire: &Wire, request: Method) -> anyhow::Result<Answer> {
        self.bytes = self.bytes.saturating_add(v1::Request { method: Some(request.clone()) }.encoded_len());
        let began = Instant::now();
        let answer = wire.call(request).await?;
        self.latencies.record(0, began.elapsed());
        Ok(answer)
    }
}

/// What somebody is added by: the welcome, whether the tree is in it, and the place of its commit.
struct Given {
    welcome: Bytes,
    has_tree: bool,
    seq: u64,
}

/// Who is in the groups.
struct Cast {
    owner: Device,
    wire: Wire,
    /// All but the owner.
    others: Vec<Device>,
    /// Comes and goes.
    extra: Device,
    /// Of the groups.
    suite: Suite,
    random: Random,
}

impl Cast {
    fn request(&mut self, group: &mut Group, commit: v1::CommitBundle) -> Method {
        group.counter = group.counter.saturating_add(1);
        group.epoch = commit.epoch.saturating_add(1);
        Method::SubmitCommit(v1::SubmitCommit {
            conversation: Some(group.name.to_wire()),
            message_id: self.random.message_id().to_bytes(),
            counter: group.counter,
            commit: Some(commit),
        })
    }

    async fn create(&mut self, phase: &mut Phase) -> anyhow::Result<Group> {
        let name = ConversationName { domain: self.wire.domain().clone(), id: self.random.conversation_id() };
        let (first, rest) = self.others.split_at(self.others.len().min(MEMBERS_PER_COMMIT_MAX));
        let rest: Vec<Vec<Device>> = rest.chunks(MEMBERS_PER_COMMIT_MAX).map(<[Device]>::to_vec).collect();
        let (mut engine, invited) = (Engine::new(&self.owner)?, invited(first, self.suite)?);
        let founded = phase.made(|| engine.found(&name, self.suite, &invited))?;
        let create = v1::CreateConversation {
            conversation: Some(name.to_wire()),
            kind: v1::ConversationKind::Group.into(),
            message_id: self.random.message_id().to_bytes(),
            commit: founded.commit,
            group_info: founded.group_info,
            ..Default::default()
        };
        match phase.shown(&self.wire, Method::CreateConversation(create)).await.context("creating")? {
            Answer::CreateConversation(_) => {}
            _ => bail!("an answer of another kind"),
        }
        let mut group = Group { name, engine, counter: 1, epoch: 1 };
        for more in rest {
            self.adds(&mut group, &more, phase).await?;
        }
        Ok(group)
    }

    async fn adds(&mut self, group: &mut Group, others: &[Device], phase: &mut Phase) -> anyhow::Result<()> {
        let invited = invited(others, self.suite)?;
        self.adds_invited(group, &invited, phase).await.map(drop)
    }

    /// Gives the welcome, and the commit's place.
    async fn adds_invited(
        &mut self,
        group: &mut Group,
        invited: &[Invited],
        phase: &mut Phase,
    ) -> anyhow::Result<Given> {
        let name = group.name.clone();
        let commit = phase.made(|| group.engine.commit(&name, invited))?;
        phase.commits = phase.commits.saturating_add(commit.commit.len());
        let (welcome, has_tree) = (commit.welcome.clone(), has_tree(&commit.group_info));
        let request = self.request(group, commit);
        match phase.shown(&self.wire, request).await.context("adding")? {
            Answer::SubmitCommit(answer) => Ok(Given { welcome, has_tree, seq: answer.seq }),
            _ => bail!("an answer of another kind"),
        }
    }

    /// The one that comes and goes joins, with the tree that its welcome lacks, where it lacks one.
    async fn joins(
        &mut self,
        group: &Group,
        joiner: &mut Engine,
        given: Given,
        phase: &mut Phase,
    ) -> anyhow::Result<()> {
        let Given { welcome, has_tree, seq } = given;
        let tree = if has_tree { None } else { Some(self.tree(&group.name, seq).await?) };
        let received = welcome.len().saturating_add(tree.as_ref().map_or(0, BytesMut::len));
        phase.bytes = phase.bytes.saturating_add(received);
        phase.made(|| joiner.join_with(&group.name, &welcome, tree.as_deref()))
    }

    async fn tree(&self, name: &ConversationName, welcome_seq: u64) -> anyhow::Result<BytesMut> {
        let mut tree = BytesMut::new();
        loop {
            let offset = u64::try_from(tree.len())?;
            let read = v1::ReadGroup { conversation: Some(name.to_wire()), offset, welcome_seq, ..Default::default() };
            let Answer::ReadGroup(page) = self.wire.call(Method::ReadGroup(read)).await.context("reading a tree")?
            else {
                bail!("an answer of another kind")
            };
            tree.extend_from_slice(&page.tree);
            if page.tree.is_empty() || u64::try_from(tree.len())? >= page.tree_size {
                return Ok(tree);
            }
        }
    }

    async fn removes(&mut self, group: &mut Group, phase: &mut Phase) -> anyhow::Result<()> {
        let (name, gone) = (group.name.clone(), self.extra.address().clone());
        let commit = phase.made(|| group.engine.remove(&name, &gone))?;
        phase.commits = phase.commits.saturating_add(commit.commit.len());
        let request = self.request(group, commit);
        committed(phase.shown(&self.wire, request).await.context("removing")?)
    }

    async fn sends(&mut self, group: &mut Group, phase: &mut Phase) -> anyhow::Result<()> {
        let (name, id) = (group.name.clone(), self.random.message_id());
        let body = phase.made(|| group.engine.encrypt(&name, id, &[b'x'; TEXT]))?;
        group.counter = group.counter.saturating_add(1);
        let send = v1::Send {
            conversation: Some(name.to_wire()),
            message_id: id.to_bytes(),
            counter: group.counter,
            epoch: group.epoch,
            kind: v1::EntryKind::Message.into(),
            body: body.into(),
            leave: false,
        };
        match phase.shown(&self.wire, Method::Send(send)).await.context("sending")? {
            Answer::Send(_) => Ok(()),
            _ => bail!("an answer of another kind"),
        }
    }
}

fn committed(answer: Answer) -> anyhow::Result<()> {
    match answer {
        Answer::SubmitCommit(_) => Ok(()),
        _ => bail!("an answer of another kind"),
    }
}

/// Key packages, whose secrets nobody keeps.
fn invited(devices: &[Device], suite: Suite) -> anyhow::Result<Vec<Invited>> {
    devices.iter().map(|device| Ok(Engine::new(device)?.invited(suite)?)).collect()
}

/// Runs it with groups of so many members and of this suite.
///
/// # Errors
/// When something goes wrong that is no figure.
pub async fn run(common: &Common, members: u32, suite: Suite) -> anyhow::Result<Report> {
    if members < 2 {
        bail!("at least two members");
    }
    // One more comes and goes.
    let layout = Layout::star(members.saturating_add(1));
    let prepared = accounts::prepare(&common.beds, common.accounts.as_deref(), &layout).await?;
    let bed = prepared.open(&common.beds).await?;
    let dialer = bed.dialer(common.sockets)?;
    let (owner, others) = prepared.users.split_first().context("nobody")?;
    let (extra, others) = others.split_last().context("too few")?;
    let wire = dialer.connect().await?;
    wire.authenticate(owner).await?;
    let random = Random::new(unix_ms());
    let (owner, others, extra) = (owner.clone(), others.to_vec(), extra.clone());
    let mut cast = Cast { owner, wire, others, extra, suite, random };
    let number = MEMBERS_IN_ALL.checked_div(members).unwrap_or(GROUPS.0).clamp(GROUPS.0, GROUPS.1);
    let pid = bed.pid();

    let (mut groups, mut created) = (Vec::new(), Phase::new()?);
    let before = Reading::take(pid)?;
    let mut progress = Progress::default();
    for at in 0..number {
        progress.show(&format!("groups: {at} of {number}"));
        groups.push(cast.create(&mut created).await?);
    }
    (created.ops, created.cost) = (number, Reading::take(pid)?.since(&before));

    let (added, joined) = added(&mut cast, &mut groups, pid).await?;
    let mut removed = Phase::new()?;
    let before = Reading::take(pid)?;
    for group in &mut groups {
        cast.removes(group, &mut removed).await?;
    }
    (removed.ops, removed.cost) = (number, Reading::take(pid)?.since(&before));
    let mut sent = Phase::new()?;
    let before = Reading::take(pid)?;
    for group in &mut groups {
        for _ in 0..MESSAGES {
            cast.sends(group, &mut sent).await?;
        }
    }
    (sent.ops, sent.cost) = (number.saturating_mul(MESSAGES), Reading::take(pid)?.since(&before));

    let mut outcome = Outcome::begin("changes", common);
    (outcome.users, outcome.op, outcome.ops) = (members.into(), "add", added.ops.into());
    (outcome.cost, outcome.duration_s) = (added.cost, added.cost.seconds);
    let all = [&created, &added, &removed, &sent].iter().map(|phase| u64::from(phase.ops)).sum();
    (outcome.sent, outcome.delivered) = (all, all);
    outcome.latency(&added.latencies);
    outcome.setting("groups", number);
    outcome.setting("members", members);
    outcome.setting("suite", suite.name());
    outcome.setting("load", "one after the other; nobody but the owner is connected");
    let mut report = Report::of(outcome);
    tell(
        &mut report,
        &created,
        ["create_cpu_us", "create_sent_bytes", "create_disk_bytes", "create_client_ms"],
        "making",
    );
    tell(&mut report, &added, ["add_cpu_us", "add_sent_bytes", "add_disk_bytes", "add_client_ms"], "adding one");
    report.figure("add_commit_bytes", "adding one", added.each(added.commits as f64), "bytes for each member");
    report.figure("join_received_bytes", "joining", joined.each(joined.bytes as f64), "bytes received");
    report.figure("join_client_ms", "joining", joined.each(1e3 * joined.client.as_secs_f64()), "ms on the new device");
    tell(
        &mut report,
        &removed,
        ["remove_cpu_us", "remove_sent_bytes", "remove_disk_bytes", "remove_client_ms"],
        "removing one",
    );
    report.figure("remove_commit_bytes", "removing one", removed.each(removed.commits as f64), "bytes for each member");
    tell(&mut report, &sent, ["send_cpu_us", "send_sent_bytes", "send_disk_bytes", "send_client_ms"], "a message");
    dialer.close().await;
    Ok(report)
}

/// One is added to each group, and joins it once all have been made.
async fn added(cast: &mut Cast, groups: &mut [Group], pid: &ServerPid) -> anyhow::Result<(Phase, Phase)> {
    let (mut added, mut joined) = (Phase::new()?, Phase::new()?);
    let before = Reading::take(pid)?;
    let mut welcomed = Vec::with_capacity(groups.len());
    for group in groups.iter_mut() {
        let mut joiner = Engine::new(&cast.extra)?;
        let invited = [joiner.invited(cast.suite)?];
        welcomed.push((joiner, cast.adds_invited(group, &invited, &mut added).await?));
        added.ops = added.ops.saturating_add(1);
    }
    added.cost = Reading::take(pid)?.since(&before);
    for (group, (mut joiner, given)) in groups.iter().zip(welcomed) {
        cast.joins(group, &mut joiner, given, &mut joined).await?;
        joined.ops = joined.ops.saturating_add(1);
    }
    Ok((added, joined))
}

fn tell(report: &mut Report, phase: &Phase, keys: [&'static str; 4], what: &'static str) {
    let [cpu, sent, disk, client] = keys;
    report.figure(cpu, what, phase.each(1e6 * phase.cost.server_cpu), "us of server CPU");
    report.figure(sent, what, phase.each(phase.bytes as f64), "bytes sent");
    report.figure(disk, what, phase.each(phase.cost.write_bytes as f64), "bytes to the disk");
    report.figure(client, what, phase.each(1e3 * phase.client.as_secs_f64()), "ms on the owner's device");
}
