//! Who talks with whom: the users and conversations that a scenario wants.

use std::collections::BTreeSet;

use crate::random::Random;

/// Users, by their numbers from 0, and their conversations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// How it is called where accounts are kept: the same name is the same layout.
    pub name: String,
    /// How many users there are.
    pub users: u32,
    /// Conversations of two that are used.
    pub directs: Vec<(u32, u32)>,
    /// Groups; the first of each has made it.
    pub groups: Vec<Vec<u32>>,
}

/// Users of one circle: within it, people know each other.
pub const CIRCLE: u32 = 100;
/// Groups that one circle has: 30 % of its conversations, beside one direct conversation per user.
const GROUPS_OF_CIRCLE: usize = 43;
/// Sizes of groups.
const GROUP: (u32, u32) = (3, 100);
/// Members of a large group, and users for each of these.
const LARGE: (u32, u32) = (500, 2_000);

impl Layout {
    /// Users who have no conversation.
    #[must_use]
    pub fn alone(users: u32) -> Self {
        Self { name: "alone".into(), users, directs: Vec::new(), groups: Vec::new() }
    }

    /// Pairs: 0 and 1, 2 and 3 ...
    #[must_use]
    pub fn pairs(pairs: u32) -> Self {
        let directs = (0..pairs).map(|pair| pair.saturating_mul(2)).map(|one| (one, one.saturating_add(1))).collect();
        Self { name: format!("pairs-{pairs}"), users: pairs.saturating_mul(2), directs, groups: Vec::new() }
    }

    /// One group of all.
    #[must_use]
    pub fn group(members: u32) -> Self {
        let groups = vec![(0..members).collect()];
        Self { name: format!("group-{members}"), users: members, directs: Vec::new(), groups }
    }

    /// One who knows all others.
    #[must_use]
    pub fn star(users: u32) -> Self {
        let directs = (1..users).map(|other| (0, other)).collect();
        Self { name: format!("star-{users}"), users, directs, groups: Vec::new() }
    }

    /// The `seed` profile: circles of [`CIRCLE`], in each a direct conversation of everybody with the next one, and
    /// groups of 3 to 100 whose size is log-uniform; and groups of 500 over several circles. Whoever comes
    /// first in a circle has made its groups.
    #[must_use]
    pub fn circles(users: u32) -> Self {
        let mut random = Random::new(0x5eed);
        let (mut directs, mut groups) = (Vec::new(), Vec::new());
        let mut first = 0_u32;
        while first < users {
            let size = CIRCLE.min(users.saturating_sub(first));
            let all: Vec<u32> = (first..first.saturating_add(size)).collect();
            for (one, other) in all.iter().zip(all.iter().cycle().skip(1)) {
                // In a circle of two, they know each other once.
                if one != other && !directs.contains(&(*other, *one)) {
                    directs.push((*one, *other));
                }
            }
            let wanted = usize::try_from(size).unwrap_or_default().saturating_mul(GROUPS_OF_CIRCLE);
            let wanted = wanted.div_ceil(usize::try_from(CIRCLE).unwrap_or(1));
            for _ in 0..wanted {
                let members = log_uniform(&mut random, GROUP).min(size);
                if members >= GROUP.0 {
                    groups.push(with_first(&mut random, &all, members));
                }
            }
            first = first.saturating_add(size);
        }
        if users >= LARGE.0 {
            let all: Vec<u32> = (0..users).collect();
            for number in 0..users.div_ceil(LARGE.1) {
                let from = number.saturating_mul(LARGE.1).min(users.saturating_sub(LARGE.0));
                let from = usize::try_from(from).unwrap_or_default();
                let near = all.get(from..).unwrap_or_default();
                let near = near.get(..usize::try_from(LARGE.1).unwrap_or_default()).unwrap_or(near);
                groups.push(with_first(&mut random, near, LARGE.0));
            }
        }
        Self { name: format!("circles-{users}"), users, directs, groups }
    }

    /// The same with so many pairs more, who know nobody else.
    #[must_use]
    pub fn and_pairs(mut self, pairs: u32) -> Self {
        let more = Self::pairs(pairs);
        let moved = |user: u32| self.users.saturating_add(user);
        self.directs.extend(more.directs.iter().map(|(one, other)| (moved(*one), moved(*other))));
        self.users = moved(more.users);
        self.name = format!("{}-and-{}", self.name, more.name);
        self
    }

    /// Conversations of two that must be there because whoever makes a group must know its members.
    #[must_use]
    pub fn contacts(&self) -> BTreeSet<(u32, u32)> {
        let mut contacts = BTreeSet::new();
        for group in &self.groups {
            let Some((creator, others)) = group.split_first() else { continue };
            contacts.extend(others.iter().map(|other| ordered(*creator, *other)));
        }
        contacts
    }
}

/// A pair, whoever comes first.
#[must_use]
pub fn ordered(one: u32, other: u32) -> (u32, u32) {
    (one.min(other), one.max(other))
}

fn log_uniform(random: &mut Random, (least, most): (u32, u32)) -> u32 {
    let (low, high) = (f64::from(least).ln(), f64::from(most.saturating_add(1)).ln());
    let drawn = (low + (high - low) * random.fraction()).exp();
    (least..=most).take_while(|size| f64::from(*size) <= drawn).last().unwrap_or(least)
}

/// The first of some, and others of them by chance.
fn with_first(random: &mut Random, of: &[u32], members: u32) -> Vec<u32> {
    let Some((first, others)) = of.split_first() else { return Vec::new() };
    let mut left = others.to_vec();
    let mut group = vec![*first];
    for _ in 1..members {
        if left.is_empty() {
            break;
        }
        group.push(left.swap_remove(random.index(left.len())));
    }
    group
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_what_the_profile_says() {
        let layout = Layout::circles(2_000);
        assert_eq!(layout, Layout::circles(2_000));
        let (directs, groups) = (layout.directs.len(), layout.groups.len());
        let share = directs as f64 / (directs + groups) as f64;
        assert!((0.69..0.71).contains(&share), "{share}");
        let sizes: Vec<_> = layout.groups.iter().map(Vec::len).collect();
        assert!(sizes.iter().all(|size| (3..=100).contains(size) || *size == 500), "{sizes:?}");
        assert!(sizes.contains(&500) && sizes.iter().filter(|size| **size < 10).count() > groups / 5);
        for group in &layout.groups {
            assert_eq!(group.iter().collect::<BTreeSet<_>>().len(), group.len());
        }
        let everybody: BTreeSet<_> = layout.directs.iter().flat_map(|(one, other)| [*one, *other]).collect();
        assert_eq!(everybody.len(), 2_000);
        let pairs: BTreeSet<_> = layout.directs.iter().map(|(one, other)| ordered(*one, *other)).collect();
        assert_eq!(pairs.len(), directs);
    }

    #[test]
    fn small_numbers_make_layouts_too() {
        assert_eq!(Layout::pairs(2).directs, [(0, 1), (2, 3)]);
        assert_eq!(Layout::group(3).contacts().into_iter().collect::<Vec<_>>(), [(0, 1), (0, 2)]);
        assert_eq!(Layout::circles(2).directs, [(0, 1)]);
        let more = Layout::circles(2).and_pairs(2);
        assert_eq!((more.users, more.directs), (6, vec![(0, 1), (2, 3), (4, 5)]));
        assert!(Layout::circles(1).directs.is_empty() && Layout::alone(5).groups.is_empty());
    }
}
