//! What must be true of a town that has become quiet.

use std::collections::{BTreeMap, BTreeSet};

use qpc_client::{
    api::{ConversationKind, Message},
    simulation::{InEpoch, Seen, Witness},
};
use qpc_proto::{
    chain::EntryKind,
    id::{ConversationName, DeviceId, Epoch, Seq},
};

use crate::town::{Fate, Saying, Town};

/// What a client tells only where something was lost that must not be.
const BAD_NEWS: [&str; 3] = ["could not be decrypted", "was dropped", "was removed from the server"];

/// What one device has in the end.
pub(crate) struct View {
    device: DeviceId,
    name: String,
    account: &'static str,
    alarms: Vec<String>,
    /// Conversations that the account is out of, by name and by title.
    ended: BTreeSet<String>,
    /// By conversation.
    shown: BTreeMap<String, Vec<Message>>,
}

impl View {
    /// For whoever looks into a seed.
    pub(crate) fn tell(&self) {
        for (conversation, messages) in &self.shown {
            println!("{} has in {conversation}:", self.name);
            messages.iter().for_each(|said| println!("    {:>3} {:>4} {}", said.seq, said.local, said.body));
        }
    }
}

/// What every device in use has.
pub(crate) async fn views(town: &Town) -> Vec<View> {
    let mut views = Vec::new();
    for device in town.in_use().await {
        let device = device.lock().await;
        let (mut shown, mut ended) = (BTreeMap::new(), BTreeSet::new());
        for conversation in device.conversations().await {
            if !conversation.active {
                ended.extend([conversation.conversation.clone(), conversation.title.clone()]);
            }
            // One that was never made has no name, and nothing that anybody else has.
            if conversation.kind != ConversationKind::Personal && !conversation.conversation.is_empty() {
                shown.insert(conversation.conversation.clone(), device.history(&conversation.conversation).await);
            }
        }
        views.push(View {
            device: device.id.parse().unwrap(),
            name: device.name.clone(),
            account: device.account,
            alarms: device.status().await.alarms,
            ended,
            shown,
        });
    }
    views
}

/// Everything that is wrong.
pub(crate) fn judge(views: &[View], sayings: &[Saying], names: &[String], witness: &Witness) -> Vec<String> {
    let mut wrong = witness.contradictions.clone();
    for view in views {
        wrong.extend(view.alarms.iter().map(|alarm| format!("{} is alarmed: {alarm}", view.name)));
        for (conversation, messages) in &view.shown {
            wrong.extend(order(view, conversation, messages));
        }
    }
    wrong.extend(one_commit_for_each_epoch(witness));
    // Nobody here is hostile.
    let reports = witness.entries.iter().filter(|(_, seen)| seen.kind == EntryKind::Report);
    wrong.extend(reports.map(|((name, seq), _)| format!("somebody can't follow {} at {seq}", name.id)));
    let log = Log::of(witness, sayings);
    for view in views {
        wrong.extend(completeness(view, &log, sayings, witness));
    }
    wrong.extend(fates(views, &log, sayings, names, witness));
    wrong.extend(alike(views));
    wrong
}

/// What others said comes in the order of the log, and so does what this device said; once, and without bad news. Where
/// something stands that was said here, among what others said at that time, is where it was written.
fn order(view: &View, conversation: &str, messages: &[Message]) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut last, mut ids) = ([0; 2], BTreeSet::new());
    for message in messages {
        if message.kind == "notice" {
            if BAD_NEWS.iter().any(|bad| message.body.contains(bad)) {
                wrong.push(format!("{} is told in {conversation}: {}", view.name, message.body));
            }
            continue;
        }
        if !ids.insert(&message.id) {
            wrong.push(format!("{} is shown {:?} twice", view.name, message.body));
        }
        let last = &mut last[usize::from(message.body.ends_with(&view.name))];
        // What has no place yet stands at the end.
        if message.seq > 0 && message.seq <= *last {
            wrong.push(format!("{} is shown {:?}, which is {}, after {last}", view.name, message.body, message.seq));
        }
        *last = message.seq.max(*last);
    }
    wrong
}

fn one_commit_for_each_epoch(witness: &Witness) -> Vec<String> {
    let mut commits: BTreeMap<(&ConversationName, Epoch), u32> = BTreeMap::new();
    for ((conversation, _), seen) in &witness.entries {
        if seen.kind == EntryKind::Commit {
            *commits.entry((conversation, seen.epoch)).or_default() += 1;
        }
    }
    let several = commits.into_iter().filter(|(_, count)| *count > 1);
    several.map(|((name, epoch), count)| format!("{count} commits of epoch {} of {name}", epoch.0)).collect()
}

/// Where what was said stands in the logs.
struct Log<'w>(BTreeMap<usize, Vec<(&'w ConversationName, Seq, &'w Seen)>>);

impl<'w> Log<'w> {
    fn of(witness: &'w Witness, sayings: &[Saying]) -> Self {
        let numbers: BTreeMap<&str, usize> = sayings
            .iter()
            .enumerate()
            .filter_map(|(number, saying)| match &saying.fate {
                Fate::Queued(id) => Some((id.as_str(), number)),
                Fate::Unknown | Fate::Refused => None,
            })
            .collect();
        let mut places: BTreeMap<usize, Vec<_>> = BTreeMap::new();
        for ((conversation, seq), seen) in &witness.entries {
            if let Some(number) = numbers.get(seen.id.to_string().as_str()) {
                places.entry(*number).or_default().push((conversation, *seq, seen));
            }
        }
        Self(places)
    }
}

/// A group from this epoch on, as far as anybody has seen it.
fn since<'w>(witness: &'w Witness, conversation: &ConversationName, epoch: Epoch) -> impl Iterator<Item = &'w InEpoch> {
    let all = witness.epochs.range((conversation.clone(), epoch)..=(conversation.clone(), Epoch(u64::MAX)));
    all.map(|(_, group)| group)
}

/// Whoever was in the group from what was said on until the end is shown it.
fn completeness(view: &View, log: &Log<'_>, sayings: &[Saying], witness: &Witness) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, places) in &log.0 {
        for (conversation, seq, seen) in places {
            let mut groups = since(witness, conversation, seen.epoch).peekable();
            let ended = view.ended.contains(&conversation.to_string());
            let stays = groups.peek().is_some() && groups.all(|group| group.members.contains(&view.device)) && !ended;
            let shown = view.shown.get(&conversation.to_string()).is_some_and(|messages| {
                messages.iter().any(|message| message.seq == seq.0 && message.body == sayings[*number].text)
            });
            if stays && !shown {
                wrong.push(format!("{} is not shown {:?} ({seq} of {conversation})", view.name, sayings[*number].text));
            }
        }
    }
    wrong
}

/// What was taken stands in one log once, in the order in which its device said it; what was not taken in none.
fn fates(views: &[View], log: &Log<'_>, sayings: &[Saying], names: &[String], witness: &Witness) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut last: BTreeMap<(usize, &ConversationName), (Seq, usize)> = BTreeMap::new();
    for (number, saying) in sayings.iter().enumerate() {
        let places = log.0.get(&number).map_or(&[][..], Vec::as_slice);
        let shown = views
            .iter()
            .any(|view| view.shown.values().flatten().any(|message| message.seq > 0 && message.body == saying.text));
        match (&saying.fate, places) {
            (Fate::Refused, _) if shown => wrong.push(format!("{:?} was refused and is shown", saying.text)),
            (Fate::Queued(_), []) if must_arrive(views, saying, names, witness) => {
                wrong.push(format!("{:?} to {} is lost", saying.text, saying.to));
            }
            (Fate::Queued(_), [(conversation, seq, _)]) => {
                let before = last.insert((saying.device, conversation), (*seq, number));
                if let Some((earlier, first)) = before.filter(|(earlier, _)| earlier > seq) {
                    wrong.push(format!("{number} stands at {seq}, and {first}, said before it, at {earlier}"));
                }
            }
            (Fate::Queued(_), [_, _, ..]) => wrong.push(format!("{:?} stands in the log twice", saying.text)),
            _ => {}
        }
    }
    wrong
}

/// Has the device that said it been in every group that it was ever in to the end?
fn must_arrive(views: &[View], saying: &Saying, names: &[String], witness: &Witness) -> bool {
    let Some(view) = views.iter().find(|view| view.name == names[saying.device]) else { return false };
    if view.ended.contains(&saying.to) {
        return false;
    }
    let mut conversations: BTreeMap<&ConversationName, (bool, bool)> = BTreeMap::new();
    for ((name, _), group) in &witness.epochs {
        let (was, is) = conversations.entry(name).or_default();
        let now = group.members.contains(&view.device);
        // Once out, it stays out for this question.
        *is = if *was { *is && now } else { now };
        *was |= now;
    }
    conversations.values().all(|(was, is)| !was || *is)
}

/// Devices of an account have the same.
fn alike(views: &[View]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (at, one) in views.iter().enumerate() {
        for other in views.iter().skip(at + 1).filter(|other| other.account == one.account) {
            for (conversation, messages) in &one.shown {
                let Some(theirs) = other.shown.get(conversation) else { continue };
                let of = |messages: &[Message]| -> BTreeSet<String> {
                    let said = messages.iter().filter(|message| message.kind == "text" && message.seq > 0);
                    said.map(|message| message.body.clone()).collect()
                };
                let (mine, theirs) = (of(messages), of(theirs));
                let differ: Vec<_> = mine.symmetric_difference(&theirs).collect();
                if !differ.is_empty() {
                    wrong.push(format!("of {} and {} one alone has {differ:?}", one.name, other.name));
                }
            }
        }
    }
    wrong
}
