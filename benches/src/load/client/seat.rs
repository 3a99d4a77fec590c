//! A client's conversations: how far it has read in each, and which one it talks in next.

use crate::{accounts::ReadyRoom, ledger::Place, random::Random};

/// Of a hundred messages, so many go to somebody alone, where a client has both kinds of conversations.
const DIRECT_PERCENT: u64 = 70;

/// A client in one conversation.
pub(in crate::load) struct Seat {
    pub(super) room: u32,
    pub(super) place: Place,
    /// Of the message made last.
    pub(super) counter: u64,
    kind: Kind,
    members: usize,
    is_new: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Direct,
    Group,
    /// Not talked in.
    Quiet,
}

impl Seat {
    /// How many are in the conversation.
    pub(super) fn members(&self) -> usize {
        self.members
    }

    pub(in crate::load) fn new(at: u32, room: &ReadyRoom, counter: u64) -> Self {
        let kind = match (room.used, room.members.len()) {
            (false, _) => Kind::Quiet,
            (true, 2) => Kind::Direct,
            (true, _) => Kind::Group,
        };
        Self { room: at, place: Place::at(room.seq), counter, kind, members: room.members.len(), is_new: false }
    }
}

/// All of one client, by the numbers of their conversations.
pub(super) struct Seats {
    seats: Vec<Seat>,
    directs: Vec<usize>,
    /// With sums of weights: a group has as much traffic as any other, so of each member the less the more they are.
    groups: Vec<(usize, f64)>,
    /// Rooms where something has come that is not acknowledged.
    new: Vec<u32>,
}

impl Seats {
    pub(super) fn new(mut seats: Vec<Seat>) -> Self {
        seats.sort_by_key(|seat| seat.room);
        let of =
            |kind: Kind| seats.iter().enumerate().filter(|(_, seat)| seat.kind == kind).map(|(at, _)| at).collect();
        let (directs, groups): (Vec<usize>, Vec<usize>) = (of(Kind::Direct), of(Kind::Group));
        let mut sum = 0.0;
        let weighted = |at: usize| {
            sum += 1.0 / seats.get(at).map_or(1.0, |seat| seat.members.max(1) as f64);
            (at, sum)
        };
        let groups = groups.into_iter().map(weighted).collect();
        Self { seats, directs, groups, new: Vec::new() }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Seat> {
        self.seats.iter()
    }

    pub(super) fn at(&self, at: usize) -> Option<&Seat> {
        self.seats.get(at)
    }

    pub(super) fn at_mut(&mut self, at: usize) -> Option<&mut Seat> {
        self.seats.get_mut(at)
    }

    /// The one in a conversation.
    pub(super) fn of(&mut self, room: u32) -> Option<&mut Seat> {
        let at = self.seats.binary_search_by_key(&room, |seat| seat.room).ok()?;
        self.seats.get_mut(at)
    }

    /// Something has come there.
    pub(super) fn is_new(&mut self, room: u32) {
        let Some(seat) = self.of(room) else { return };
        if !std::mem::replace(&mut seat.is_new, true) {
            self.new.push(room);
        }
    }

    /// What has come since the last time: conversations and the last places.
    pub(super) fn take_new(&mut self) -> Vec<(u32, u64)> {
        let new = std::mem::take(&mut self.new);
        let place = |room: u32| {
            let seat = self.of(room)?;
            seat.is_new = false;
            Some((room, seat.place.seq()))
        };
        new.into_iter().filter_map(place).collect()
    }

    /// Where to talk next.
    pub(super) fn choose(&self, random: &mut Random) -> Option<usize> {
        let direct = self.groups.is_empty() || (!self.directs.is_empty() && random.below(100) < DIRECT_PERCENT);
        if direct {
            return self.directs.get(random.index(self.directs.len())).copied();
        }
        let drawn = self.groups.last().map_or(0.0, |(_, sum)| *sum) * random.fraction();
        self.groups.iter().find(|(_, sum)| drawn < *sum).map(|(at, _)| *at)
    }

    pub(super) fn into_places(self) -> Vec<(u32, Place)> {
        self.seats.into_iter().map(|seat| (seat.room, seat.place)).collect()
    }
}

#[cfg(test)]
mod tests {
    use qpc_proto::id::ConversationName;

    use super::*;

    fn seats(rooms: &[(usize, bool)]) -> Seats {
        let domain: qpc_proto::address::Domain = "chat.example".parse().unwrap();
        let seat = |(at, (members, used)): (u32, &(usize, bool))| {
            let room = ReadyRoom {
                name: ConversationName { domain: domain.clone(), id: Random::new(1).conversation_id() },
                members: vec![0; *members],
                epoch: 1,
                seq: 5,
                counters: vec![0; *members],
                used: *used,
            };
            Seat::new(at, &room, 0)
        };
        Seats::new((0..).zip(rooms).map(seat).collect())
    }

    #[test]
    fn clients_talk_where_the_layout_says_and_mostly_to_one() {
        let all = seats(&[(2, true), (9, true), (2, false), (2, true)]);
        let mut random = Random::new(1);
        let drawn: Vec<_> = (0..1_000).filter_map(|_| all.choose(&mut random)).collect();
        assert!(!drawn.contains(&2));
        let group = drawn.iter().filter(|at| **at == 1).count();
        assert!((250..350).contains(&group), "{group}");
        let groups = seats(&[(10, true), (90, true)]);
        let small = (0..1_000).filter(|_| groups.choose(&mut random) == Some(0)).count();
        assert!((870..930).contains(&small), "{small}");
        assert_eq!(seats(&[(2, false)]).choose(&mut random), None);
        assert_eq!(seats(&[(3, true)]).choose(&mut random), Some(0));
        assert_eq!(seats(&[(2, true)]).choose(&mut random), Some(0));
    }

    #[test]
    fn what_is_new_is_acknowledged_once_and_up_to_its_last() {
        let mut all = seats(&[(2, true), (2, true)]);
        for (room, seq) in [(1, 6), (0, 6), (1, 7)] {
            all.of(room).unwrap().place.came(seq);
            all.is_new(room);
        }
        assert_eq!(all.take_new(), [(1, 7), (0, 6)]);
        assert!(all.take_new().is_empty() && all.of(2).is_none());
    }
}
