//! A town: a server, people and their devices, and what befalls them between a quiet beginning and a quiet end.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};

use qpc_client::{
    api::{Command, ConversationKind, GroupSuite, Outcome, Password, Role},
    simulation,
};
use tokio::time::{Instant, sleep};

use crate::{
    chance,
    device::{Device, PASSWORD},
    network::{Network, Weather},
    server::Server,
};

const PEOPLE: [&str; 4] = ["alice", "bob", "carol", "dave"];
/// A third of the groups are post-quantum.
fn suite() -> GroupSuite {
    *chance::one_of(&[GroupSuite::Classical, GroupSuite::Classical, GroupSuite::PostQuantum])
}

/// Who has accepted whom.
fn acquaintances(account: &str) -> &'static [&'static str] {
    match account {
        "alice" => &["bob", "carol"],
        "bob" => &["alice", "carol"],
        "carol" => &["alice", "bob"],
        _ => &["alice"],
    }
}

/// What happens while the weather is rough.
const EVENTS: u64 = 45;
/// Longest simulated time for what was begun to come to its end.
const SETTLING: Duration = Duration::from_secs(1_200);
/// So long nothing may change before it counts as quiet: leaving members are committed, and groups described, after less.
const QUIET: Duration = Duration::from_secs(30);

/// Is what happens to be told?
pub(crate) fn is_told() -> bool {
    std::env::var_os("QPC_DIARY").is_some()
}

/// What was to be said.
#[derive(Debug, Clone)]
pub(crate) struct Saying {
    pub(crate) text: String,
    pub(crate) device: usize,
    pub(crate) to: String,
    pub(crate) fate: Fate,
}

/// What the client said when it was told to send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It crashed before: the message is in the outbox or not.
    Unknown,
    /// It is in the outbox, durable.
    Queued(String),
    /// It is not.
    Refused,
}

/// How often what is not said happened.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Happened {
    pub(crate) device_crashes: u64,
    pub(crate) server_crashes: u64,
    pub(crate) cuts: u64,
    pub(crate) revocations: u64,
}

/// See the module's text.
pub(crate) struct Town {
    pub(crate) network: Network,
    pub(crate) server: tokio::sync::Mutex<Server>,
    pub(crate) devices: RefCell<Vec<Rc<tokio::sync::Mutex<Device>>>>,
    pub(crate) sayings: Arc<Mutex<Vec<Saying>>>,
    groups: RefCell<Vec<String>>,
    logins_left: Cell<u32>,
    revocations_left: Cell<u32>,
    pub(crate) happened: Cell<Happened>,
    /// For whoever looks into a seed.
    pub(crate) diary: RefCell<Vec<String>>,
    began: Instant,
}

impl Town {
    fn note(&self, text: impl FnOnce() -> String) {
        let now = self.began.elapsed().as_millis();
        let line = format!("{now:>7} ms  {}", text());
        if is_told() {
            println!("{line}");
        }
        self.diary.borrow_mut().push(line);
    }

    fn count(&self, what: impl FnOnce(&mut Happened) -> &mut u64) {
        let mut happened = self.happened.get();
        *what(&mut happened) += 1;
        self.happened.set(happened);
    }

    fn device(&self, index: usize) -> Rc<tokio::sync::Mutex<Device>> {
        Rc::clone(&self.devices.borrow()[index])
    }

    fn all(&self) -> Vec<Rc<tokio::sync::Mutex<Device>>> {
        self.devices.borrow().clone()
    }

    fn add(&self, account: &'static str) -> usize {
        let mut devices = self.devices.borrow_mut();
        let device = Device::new(&self.network, account, devices.len() + 1);
        devices.push(Rc::new(tokio::sync::Mutex::new(device)));
        devices.len() - 1
    }

    /// People who know each other, with a group, and no bad weather yet.
    pub(crate) async fn found() -> Self {
        let network = Network::new();
        let town = Self {
            server: tokio::sync::Mutex::new(Server::start(network.clone()).await),
            network,
            devices: RefCell::default(),
            sayings: Arc::default(),
            groups: RefCell::default(),
            logins_left: Cell::new(2),
            revocations_left: Cell::new(1),
            happened: Cell::default(),
            diary: RefCell::default(),
            began: Instant::now(),
        };
        let people = 3 + chance::index(2);
        for account in &PEOPLE[..people] {
            let index = town.add(account);
            town.device(index).lock().await.register().await;
        }
        for other in 1..people {
            town.acquaint(0, other).await;
        }
        town.acquaint(1, 2).await;
        let second = town.add(PEOPLE[0]);
        assert!(town.device(second).lock().await.log_in().await, "a login in calm weather");
        town.make_group(0, &PEOPLE[1..people]).await;
        town.quiet().await.unwrap();
        town
    }

    async fn acquaint(&self, one: usize, other: usize) {
        let (asking, asked) = (PEOPLE[one], PEOPLE[other]);
        let ask = Command::Send { to: asked.into(), text: format!("may I, {asked}?") };
        self.device(one).lock().await.attempt(ask).await.unwrap();
        for _ in 0..600 {
            let accept = Command::Accept { who: asking.into() };
            if self.device(other).lock().await.attempt(accept).await.is_ok() {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("{asked} was never asked by {asking}");
    }

    async fn make_group(&self, owner: usize, members: &[&str]) {
        let name = format!("g{}", self.groups.borrow().len() + 1);
        let members: Vec<String> = members.iter().map(|name| (*name).into()).collect();
        let suite = suite();
        for _ in 0..100 {
            let create = Command::GroupCreate { name: name.clone(), members: members.clone(), suite };
            match self.device(owner).lock().await.attempt(create).await {
                Ok(_) => return self.groups.borrow_mut().push(name),
                Err(_) => sleep(Duration::from_millis(200)).await,
            }
        }
        panic!("no group was made in calm weather");
    }

    /// Bad weather, crashes, and people who go on.
    pub(crate) async fn live(self: &Rc<Self>) {
        self.network.set_weather(Weather::rough());
        for _ in 0..EVENTS {
            sleep(Duration::from_millis(chance::below(500))).await;
            self.event().await;
        }
        sleep(Duration::from_secs(2)).await;
    }

    async fn event(self: &Rc<Self>) {
        let index = chance::index(self.devices.borrow().len());
        if self.device(index).try_lock().is_err() {
            // It is about to log in.
            return;
        }
        match chance::below(100) {
            0..62 => self.say(index, None).await,
            62..78 => self.change(index).await,
            78..86 => self.power_cut(index).await,
            86..92 => self.disconnect(index).await,
            92..95 => self.server_crash().await,
            95..97 => self.log_in().await,
            97..98 => self.revoke(index).await,
            98 => self.delete_account(index).await,
            _ => self.network.set_weather(Weather::rough()),
        }
    }

    /// Says something to somebody, or in a group. What comes of it is noted with what was to be said.
    pub(crate) async fn say(&self, index: usize, to: Option<&str>) {
        let device = self.device(index);
        let mut device = device.lock().await;
        let to = match to {
            Some(to) => to.to_owned(),
            None if chance::percent(60) => chance::one_of(&self.groups.borrow()).clone(),
            None => chance::one_of(acquaintances(device.account)).to_string(),
        };
        if !device.is_on() {
            return;
        }
        // Where nobody knows such a group, a name is a person's.
        let group = self.groups.borrow().contains(&to);
        if group && !device.conversations().await.iter().any(|known| known.title == to && known.active) {
            return;
        }
        let mut sayings = self.sayings.lock().unwrap();
        let number = sayings.len();
        let text = format!("{number} of {}", device.name);
        self.note(|| format!("{} says {number} to {to}", device.name));
        sayings.push(Saying { text: text.clone(), device: index, to: to.clone(), fate: Fate::Unknown });
        drop(sayings);
        let sayings = Arc::clone(&self.sayings);
        device.ask(Command::Send { to, text }, move |outcome| {
            sayings.lock().unwrap()[number].fate = match outcome {
                Ok(Outcome::Queued { id }) => Fate::Queued(id),
                _ => Fate::Refused,
            };
        });
    }

    /// Changes a group, as far as the rules let this one.
    async fn change(self: &Rc<Self>, index: usize) {
        let (group, who) = (chance::one_of(&self.groups.borrow()).clone(), (*chance::one_of(&PEOPLE)).to_owned());
        let command = match chance::below(100) {
            0..35 => Command::GroupAdd { group, members: vec![who] },
            35..60 => Command::GroupRemove { group, members: vec![who] },
            60..70 => {
                let role = *chance::one_of(&[Role::Member, Role::Admin, Role::Owner]);
                Command::GroupRole { group, member: who, role }
            }
            70..80 => Command::GroupLeave { group },
            80..90 => {
                let topic = Some(format!("topic {}", chance::below(1_000)));
                Command::GroupDescribe { group, name: None, topic, picture: None }
            }
            _ => {
                let name = format!("g{}", self.groups.borrow().len() + 1);
                let members = vec![who, (*chance::one_of(&PEOPLE)).to_owned()];
                // Whether it comes about or not: nobody else makes one of that name.
                self.groups.borrow_mut().push(name.clone());
                Command::GroupCreate { name, members, suite: suite() }
            }
        };
        let device = self.device(index);
        let mut device = device.lock().await;
        self.note(|| format!("{}: {command:?}", device.name));
        device.ask(command, |outcome| {
            if is_told() {
                println!("            {outcome:?}");
            }
        });
    }

    /// The power goes, and comes back after a while.
    async fn power_cut(self: &Rc<Self>, index: usize) {
        let device = self.device(index);
        device.lock().await.crash();
        self.count(|happened| &mut happened.device_crashes);
        let away = Duration::from_millis(chance::below(6_000));
        self.note(|| format!("device {} crashes for {away:?}", index + 1));
        tokio::task::spawn_local(async move {
            sleep(away).await;
            device.lock().await.start().await;
        });
    }

    /// The line goes, and comes back after a while.
    async fn disconnect(self: &Rc<Self>, index: usize) {
        let ip = self.device(index).lock().await.ip();
        let away = Duration::from_millis(chance::below(20_000));
        self.note(|| format!("device {} is cut off for {away:?}", index + 1));
        self.network.cut(ip);
        self.count(|happened| &mut happened.cuts);
        let network = self.network.clone();
        tokio::task::spawn_local(async move {
            sleep(away).await;
            network.mend(ip);
        });
    }

    async fn server_crash(self: &Rc<Self>) {
        self.server.lock().await.crash();
        self.count(|happened| &mut happened.server_crashes);
        let away = Duration::from_millis(200 + chance::below(3_000));
        self.note(|| format!("the server crashes for {away:?}"));
        let town = Rc::clone(self);
        tokio::task::spawn_local(async move {
            sleep(away).await;
            town.server_starts().await;
        });
    }

    async fn server_starts(&self) {
        let mut server = self.server.lock().await;
        if !server.is_up() {
            server.restart().await;
        }
    }

    /// Somebody takes another device into use.
    async fn log_in(self: &Rc<Self>) {
        if self.logins_left.get() == 0 || !self.server.lock().await.is_up() {
            return;
        }
        self.logins_left.set(self.logins_left.get() - 1);
        let account = self.device(chance::index(3)).lock().await.account;
        let index = self.add(account);
        self.note(|| format!("device {} of {account} logs in", index + 1));
        let town = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let device = town.device(index);
            let came = device.lock().await.log_in().await;
            town.note(|| format!("device {} of {account} has logged in: {came}", index + 1));
            if !came {
                device.lock().await.revoked = true;
            }
        });
    }

    /// Somebody takes one of their devices out of use.
    async fn revoke(self: &Rc<Self>, index: usize) {
        if self.revocations_left.get() == 0 {
            return;
        }
        let by = self.device(index);
        let account = by.lock().await.account;
        for (other, device) in self.all().into_iter().enumerate() {
            let Ok(device) = device.try_lock() else { continue };
            if other == index || device.account != account || device.revoked || device.id.is_empty() {
                continue;
            }
            self.revocations_left.set(self.revocations_left.get() - 1);
            self.note(|| format!("{} is revoked", device.name));
            self.count(|happened| &mut happened.revocations);
            let revoke = Command::DeviceRevoke { device: device.id.clone() };
            drop(device);
            by.lock().await.ask(revoke, |_| ());
            break;
        }
    }

    /// Whoever nobody else depends on goes for good.
    async fn delete_account(self: &Rc<Self>, index: usize) {
        let device = self.device(index);
        let mut device = device.lock().await;
        if device.account == PEOPLE[3] {
            self.note(|| format!("{} deletes the account", device.name));
            device.ask(Command::AccountDelete { password: Password(PASSWORD.into()) }, |_| ());
        }
    }

    /// Devices in use that do not come to the end of what there is for them.
    pub(crate) async fn never_catch_up(&self) -> Vec<String> {
        let mut stuck = Vec::new();
        for device in self.in_use().await {
            let device = device.lock().await;
            if let Err(error) = device.attempt(Command::CatchUp).await {
                stuck.push(format!("{} does not catch up: {error}", device.name));
            }
        }
        stuck
    }

    /// All is well again, and what was begun comes to its end.
    pub(crate) async fn settle(&self) -> Result<(), String> {
        self.network.set_weather(Weather::CALM);
        self.server_starts().await;
        for device in self.all() {
            let mut device = device.lock().await;
            self.network.mend(device.ip());
            if !device.id.is_empty() {
                device.start().await;
            }
        }
        self.quiet().await
    }

    /// Every device in use says something wherever it can.
    pub(crate) async fn probe(&self) {
        for (index, device) in self.all().into_iter().enumerate() {
            let conversations = {
                let device = device.lock().await;
                if !device.is_on() || device.revoked {
                    continue;
                }
                device.conversations().await
            };
            for conversation in conversations {
                if conversation.active
                    && conversation.kind != ConversationKind::Personal
                    && !conversation.conversation.is_empty()
                {
                    self.say(index, Some(&conversation.conversation)).await;
                }
            }
        }
    }

    pub(crate) async fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for device in self.all() {
            names.push(device.lock().await.name.clone());
        }
        names
    }

    /// Waits until nothing changes any more: nobody has anything to send, and nobody reads anything.
    pub(crate) async fn quiet(&self) -> Result<(), String> {
        let began = Instant::now();
        let (mut last, mut since) = (0, Instant::now());
        while since.elapsed() < QUIET {
            sleep(Duration::from_secs(3)).await;
            let busy = self.busy().await;
            if began.elapsed() > SETTLING {
                return Err(format!("it does not become quiet: {busy:?}"));
            }
            let now = simulation::readings();
            if now != last || !busy.is_empty() {
                (last, since) = (now, Instant::now());
            }
        }
        Ok(())
    }

    /// Devices in use that are not connected, or have something to send.
    async fn busy(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for device in self.in_use().await {
            let device = device.lock().await;
            let status = device.status().await;
            if let Some(problem) = status.problem.filter(|_| !status.online) {
                all.insert(device.name.clone(), problem);
            } else if !status.online || status.outbox > 0 {
                all.insert(device.name.clone(), format!("{} in the outbox", status.outbox));
            }
        }
        all
    }

    /// Devices that are on and not revoked.
    pub(crate) async fn in_use(&self) -> Vec<Rc<tokio::sync::Mutex<Device>>> {
        let mut used = Vec::new();
        for device in self.all() {
            let mut locked = device.lock().await;
            if !locked.is_on() {
                continue;
            }
            if locked.status().await.problem.is_some_and(|problem| problem.contains("was revoked")) {
                locked.revoked = true;
            }
            if !locked.revoked {
                drop(locked);
                used.push(device);
            }
        }
        used
    }
}
