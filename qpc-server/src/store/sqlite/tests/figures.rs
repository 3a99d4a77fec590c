//! The figure that is kept incrementally is the one that counting gives.

use super::*;
use crate::store::{
    Consent, StoreFigures,
    conformance::world::{World, inbox_of, wait},
};

fn figures(world: &World) -> StoreFigures {
    wait(world.store.figures(0, 0)).unwrap()
}

#[test]
fn what_is_kept_is_what_would_be_counted() {
    let mut folder = Folder::new();
    folder.options.figures_refresh = Duration::from_secs(3600);
    let world = World::new(&folder);
    let (alice, bob, carol) = (world.person("alice"), world.person("bob"), world.person("carol"));
    let talk = world.friends(&alice, &bob);
    // Counted here, kept from here on.
    assert_eq!(figures(&world).undelivered, 3);
    world.say(&alice, &talk, "one");
    world.say(&bob, &talk, "two");
    world.acknowledge(&bob, &talk, 2);
    let group = world.group(&alice, &[&bob, &carol]);
    world.say(&carol, &group, "three");
    world.another_device(&carol);
    world.say(&bob, &group, "four");
    world.acknowledge(&alice, &group, 99);
    world.commit(&alice, &world.next_commit(&alice, &group, &[], &[&carol])).unwrap();
    world.say(&alice, &group, "five");
    world.acknowledge(&carol, &group, 2);
    let leave = world.proposal(&bob, &group, true);
    world.append(&bob, &leave).unwrap();
    world.say(&alice, &group, "six");
    world.answer(&bob, &alice, Consent::Block).unwrap();
    world.say(&alice, &talk, "seven");
    world.acknowledge(&alice, &inbox_of(&alice), 1);
    let kept = figures(&world).undelivered;
    wait(world.store.close()).unwrap();
    let world = World::new(&folder);
    assert_eq!(figures(&world).undelivered, kept);
    // By hand: alice 1 in the inbox, 4 of the talk with bob, 1 of that with carol, 4 of the group; bob 2 welcomes, 2 of
    // the talk, 5 of the group up to his leave; carol 2 welcomes, and 2 of the group up to her removal.
    assert_eq!(kept, (1 + 4 + 1 + 4) + (2 + 2 + 5) + (2 + 2));
}

#[test]
fn the_oldest_is_counted_again_when_there_was_none() {
    let mut folder = Folder::new();
    folder.options.figures_refresh = Duration::from_secs(3600);
    let world = World::new(&folder);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    assert_eq!(figures(&world).oldest_ms, None);
    world.friends(&alice, &bob);
    assert_eq!(figures(&world).oldest_ms, Some(world.now_ms.get()));
}

/// A count goes on from look to look; what happens meanwhile, before and behind the place that it has reached, is in it.
#[test]
fn a_count_in_slices_gives_what_a_whole_one_gives() {
    let mut folder = Folder::new();
    folder.options.figures_slice = 2;
    let world = World::new(&folder);
    let people = ["alice", "bob", "carol", "dave"].map(|name| world.person(name));
    let [alice, bob, carol, dave] = &people;
    let talks = [world.friends(alice, bob), world.friends(carol, dave), world.group(alice, &[bob, carol])];
    let mut looks = 0;
    let mut look = || {
        looks += 1;
        figures(&world)
    };
    let first = look();
    for round in 0_u64..12 {
        world.say(alice, &talks[0], "before the place that is reached, or behind");
        world.say(carol, &talks[1], "one");
        look();
        world.say(bob, &talks[2], "to all");
        world.acknowledge(bob, &talks[0], 2 + round);
        look();
        world.acknowledge(carol, &talks[1], 2 + round);
    }
    let kept = look();
    assert!(kept.undelivered > first.undelivered && looks > 3 * talks.len());
    wait(world.store.close()).unwrap();
    assert_eq!(figures(&World::new(&folder)), kept);
}
